"""Bootstrap's plan and its one loop. No state is kept: each resource is found by its name or its tags, and read.

It works on our own provider, also in a real account: the state's place cannot be kept in itself, and Pulumi's engine
would need a state before there is a place for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, OperationFailed, UsageError
from cloudmodel.core.resource import UNKNOWN, Live, Properties, Provider, ResourceFailure
from cloudmodel.deploy.account import REFUSED
from cloudmodel.engine.diff import described
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.operate.bootstrap import goals, neighbours
from cloudmodel.operate.bootstrap.goals import Goal
from cloudmodel.operate.bootstrap.setup import Setup

Tell = Callable[[Step], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Looked:
    """A goal beside what stands: the step that would be taken."""

    goal: Goal
    step: Step
    inputs: Properties
    live: Live | None


def plan(provider: Provider, setup: Setup) -> tuple[Step, ...]:
    """What `apply` would do. Makes no call that changes anything. Raises what `apply` raises."""
    return tuple(each.step for each in _looked(provider, setup, lambda looked: looked.live))


def apply(provider: Provider, setup: Setup, tell: Tell) -> tuple[Step, ...]:
    """Make and change what is not so yet, in order; `tell` hears each step after it. Run again it does nothing.

    Raises OperationFailed with what failed (what was made before stands, and is found again), CredentialsMissing, and
    UsageError where something of that name is not ours, or another project's names begin as this one's.
    """

    def carry_out(looked: Looked) -> Live | None:
        goal, step, live = looked.goal, looked.step, looked.live
        urn = goal.urn(setup)
        if step.op is Op.CREATE:
            live = provider.create(urn, goal.type, looked.inputs, None, False)
        elif step.op is Op.UPDATE and live:
            inputs = looked.inputs
            live = provider.update(urn, goal.type, live.id, live.inputs, live.outputs, inputs, None, False)
        tell(step)
        return live

    return tuple(each.step for each in _looked(provider, setup, carry_out))


def _looked(provider: Provider, setup: Setup, act: Callable[[Looked], Live | None]) -> Iterator[Looked]:
    """Every goal with its step; `act` answers what stands after it. The key's ARN is what the others wait for."""
    _guarded(f"the roles of account {setup.account}", lambda: neighbours.refuse(provider, setup))
    first = _look(provider, setup, goals.key(setup))
    key = _guarded(first.step.urn, partial(act, first))
    yield first
    for goal in goals.others(setup, key.outputs["arn"] if key else UNKNOWN):
        looked = _look(provider, setup, goal)
        _guarded(looked.step.urn, partial(act, looked))
        yield looked


def _look(provider: Provider, setup: Setup, goal: Goal) -> Looked:
    urn = goal.urn(setup)
    return _guarded(urn, lambda: _compared(provider, urn, goal))


def _compared(provider: Provider, urn: str, goal: Goal) -> Looked:
    checked = provider.check(urn, goal.type, None, goal.inputs, b"")
    if checked.failures:
        told = "; ".join(f"{failure.property}: {failure.reason}" for failure in checked.failures)
        raise UsageError(f"this cannot be made: {told}", where=urn, hint="shorten the project's name or the prefix")
    id = provider.find(urn, goal.type, checked.inputs)
    live = provider.read(urn, goal.type, id, checked.inputs, {}) if id else None
    new = Resource(urn=urn, type=goal.type, inputs=checked.inputs)
    if live is None:
        return Looked(goal, Step(Op.CREATE, urn, goal.type, new=new), checked.inputs, None)
    difference = provider.diff(urn, goal.type, live.id, live.inputs, live.outputs, checked.inputs)
    old = Resource(urn=urn, type=goal.type, id=live.id, inputs=live.inputs, outputs=live.outputs)
    if goal.shared:
        lacking = sorted(set(goal.inputs["clientIdLists"]) - set(live.inputs["clientIdLists"]))
        if lacking:
            raise UsageError(
                f"the account's identity provider {live.id} does not know the audience {lacking[0]}",
                where=urn,
                hint=f"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn {live.id} "
                f"--client-id {lacking[0]}",
            )
        return Looked(goal, Step(Op.SAME, urn, goal.type, old=old, new=old), checked.inputs, live)
    if difference.replaces:
        raise UsageError(
            f"it stands otherwise and cannot be changed in place: {', '.join(difference.replaces)}",
            where=urn,
            hint="delete it by hand if nothing needs it, and run bootstrap again",
        )
    op = Op.UPDATE if difference.changes else Op.SAME
    diff = described(difference.changes, live.inputs, checked.inputs)
    return Looked(goal, Step(op, urn, goal.type, diff=diff, old=old, new=new), checked.inputs, live)


def _guarded(urn: str, work: Callable[[], Result]) -> Result:
    try:
        return work()
    except ResourceFailure as failure:
        raise _told(failure, urn) from None


def _told(failure: ResourceFailure, urn: str) -> CloudmodelError:
    if REFUSED.search(failure.message):
        return CredentialsMissing(failure.message, where=urn, hint=failure.hint)
    return OperationFailed(
        failure.message, where=urn, hint=failure.hint or "mend the cause and run bootstrap again; what was made stands"
    )
