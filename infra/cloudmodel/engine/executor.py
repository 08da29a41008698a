"""Carries single steps out: asks the control and the plan, records before and after every provider call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from cloudmodel.core.errors import CloudmodelError, StalePlan
from cloudmodel.core.resource import Live, Properties, Provider, ResourceFailure, ResourceNotReady
from cloudmodel.engine import urn as urns
from cloudmodel.engine.ledger import Ledger
from cloudmodel.engine.planner import Plan
from cloudmodel.engine.reporting import Control, Failure, Halted, Reporter
from cloudmodel.engine.state import PendingKind, Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.values import annotated, plain, with_secret_keys


def now() -> str:
    """The time as the checkpoint writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def completed(entry: Resource, live: Live) -> Resource:
    """`entry` with the identity and outputs that the cloud gave it, secrets put back where they came from."""
    outputs = with_secret_keys(live.outputs, (*entry.additional_secret_outputs, *live.secrets))
    return replace(entry, id=live.id or entry.id, outputs=annotated(outputs, entry.inputs))


class Executor:
    """Runs steps against providers. In a preview every provider call is made with `preview` and deletes make none.

    At most `parallel` callers are inside `slot` at once. A failed step closes the control; every method then raises
    Halted instead of starting anything.
    """

    def __init__(
        self, ledger: Ledger, reporter: Reporter, control: Control, *, parallel: int, preview: bool, plan: Plan | None
    ) -> None:
        self.ledger = ledger
        self.reporter = reporter
        self.control = control
        self.preview = preview
        self._plan = plan
        self._slots = threading.BoundedSemaphore(parallel)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of the `parallel` places; raises Halted when its turn comes too late."""
        self.control.check()
        with self._slots:
            self.control.check()
            yield

    def create(
        self,
        entry: Resource,
        provider: Provider,
        *,
        step: Step,
        also: Sequence[Step] = (),
        doomed: Resource | None = None,
    ) -> Resource:
        """Make `entry`; `doomed` is the entry it replaces, marked for deletion in the same record."""

        def call() -> Live:
            timeout = entry.custom_timeouts.get("create")
            return provider.create(entry.urn, entry.type, plain(entry.inputs), timeout, self.preview)

        rest = (replace(doomed, delete=True),) if doomed else ()
        stamped = replace(entry, created=now(), modified=now())
        return self._change(stamped, PendingKind.CREATING, call, step=step, also=also, rest=rest)

    def update(self, entry: Resource, old: Resource, provider: Provider, *, step: Step) -> Resource:
        """Change `old` into `entry` in place."""

        def call() -> Live:
            return provider.update(
                entry.urn,
                entry.type,
                old.id,
                plain(old.inputs),
                plain(old.outputs),
                plain(entry.inputs),
                entry.custom_timeouts.get("update"),
                self.preview,
            )

        return self._change(replace(entry, modified=now()), PendingKind.UPDATING, call, step=step, kept=old.inputs)

    def delete(self, entry: Resource, provider: Provider | None, *, step: Step, makes_room: bool = False) -> None:
        """Delete `entry`, or only forget it where there is no `provider` to call.

        With `makes_room` the entry stays, as one that waits for its replacement.
        """
        with self._step((step,), makes_room=makes_room):
            if provider is None or self.preview:
                self._forget(entry, makes_room, None)
                return
            operation = self.ledger.begin(PendingKind.DELETING, entry)
            with self._closing(operation):
                timeout = entry.custom_timeouts.get("delete")
                provider.delete(step.urn, entry.type, entry.id, plain(entry.inputs), plain(entry.outputs), timeout)
            self._forget(entry, makes_room, operation)

    def write(self, entry: Resource, *steps: Step, doomed: Resource | None = None) -> Resource:
        """Record `entry`, for which the cloud need not change; `doomed` is the entry it replaces."""
        with self._step(steps) as left:
            self.ledger.write(entry, *((replace(doomed, delete=True),) if doomed else ()))
            left.append(entry)
        return entry

    def forget(self, entry: Resource, *, step: Step) -> None:
        """Drop an entry that is gone from the cloud, and every mention of it."""
        with self._step((step,), planned=False):
            self.ledger.write(*self.ledger.without(entry.key), drop=(entry.key,))

    def note(self, entry: Resource) -> None:
        """Record what the program said of `entry` after it was made."""
        self.control.check()
        with self.guarded(same(entry, entry)):
            self.ledger.write(entry)

    @contextmanager
    def guarded(self, step: Step) -> Iterator[None]:
        """Around a question to a provider: its failure is the failure of `step`, and nothing new starts."""
        try:
            yield
        except ResourceFailure as failure:
            self._fail(step, failure, self.reporter.started(step))
            raise Halted from None
        except CloudmodelError as error:
            self.control.close(error)
            raise Halted from None
        except Halted:
            raise
        except Exception as unexpected:
            self._fail(step, unexpected_failure(unexpected), self.reporter.started(step))
            raise Halted from None

    def failed(self, step: Step, failure: ResourceFailure) -> Halted:
        """Note a step that failed before it began; the caller raises what this returns."""
        self._fail(step, failure, self.reporter.started(step))
        return Halted()

    def _forget(self, entry: Resource, makes_room: bool, operation: int | None) -> None:
        put = (replace(entry, pending_replacement=True),) if makes_room else ()
        drop = () if makes_room else (entry.key,)
        if operation is None:
            self.ledger.write(*put, drop=drop)
        else:
            self.ledger.end(operation, *put, drop=drop)

    def _change(
        self,
        entry: Resource,
        kind: PendingKind,
        call: Callable[[], Live],
        *,
        step: Step,
        also: Sequence[Step] = (),
        rest: tuple[Resource, ...] = (),
        kept: Properties | None = None,
    ) -> Resource:
        """Make the `call` that brings `entry` about. `kept` are the inputs to record where it is not ready then: with
        the old ones the next run sees what still has to change."""
        result = entry
        with self._step((step, *also)) as finished:
            operation = self.ledger.begin(kind, entry)
            with self._closing(operation, entry, rest, kept):
                live = call()
                result = completed(entry, live)
                self.reporter.masker.learn(result.outputs)
            self.ledger.end(operation, result, *rest)
            finished.append(result)
        return result

    @contextmanager
    def _closing(
        self,
        operation: int,
        entry: Resource | None = None,
        rest: tuple[Resource, ...] = (),
        kept: Properties | None = None,
    ) -> Iterator[None]:
        """Record how a failed call ended; one whose outcome is not known stays pending."""
        try:
            yield
        except ResourceNotReady as failure:
            if entry is not None:
                unready = completed(entry, failure.live)
                self.reporter.masker.learn(unready.outputs)
                unready = replace(unready, init_errors=(self.reporter.masker.mask(failure.message),))
                self.ledger.end(operation, unready if kept is None else replace(unready, inputs=kept), *rest)
            raise
        except ResourceFailure as failure:
            if not failure.uncertain:
                self.ledger.end(operation)
            raise

    @contextmanager
    def _step(
        self, steps: tuple[Step, ...], *, makes_room: bool = False, planned: bool = True
    ) -> Iterator[list[Resource]]:
        """Around what a step does: the plan's consent first, then events, and the control closed on failure.

        The entry that the step leaves goes into the list that this yields; `planned` is false for what no plan
        decides.
        """
        self.control.check()
        if planned:
            self._consent(steps)
        main = steps[0]
        since = self.reporter.started(main)
        left: list[Resource] = []
        try:
            yield left
        except ResourceFailure as failure:
            self._fail(main, failure, since)
            raise Halted from None
        except CloudmodelError as error:
            self.control.close(error)
            raise Halted from None
        except Exception as unexpected:
            self._fail(main, unexpected_failure(unexpected), since)
            raise Halted from None
        for step in steps:
            self.reporter.done(replace(step, new=left[-1]) if left else step, since, makes_room=makes_room)

    def _consent(self, steps: tuple[Step, ...]) -> None:
        if self._plan is None:
            return
        for step in steps:
            if urns.is_provider(step.type) or step.type == urns.STACK_TYPE:
                continue
            reason = self._plan.refuses(step.op, step.urn, step.diff)
            if reason is not None:
                self.control.close(
                    StalePlan(reason, where=step.urn, hint="make the plan again: `cloudmodel preview --save-plan`")
                )
                raise Halted

    def _fail(self, step: Step, failure: ResourceFailure, since: float) -> None:
        self.control.close()
        self.reporter.failed(
            Failure(
                step=step,
                message=failure.message,
                request=failure.request,
                hint=failure.hint,
                uncertain=failure.uncertain,
            ),
            since,
        )


def unexpected_failure(error: Exception) -> ResourceFailure:
    """A fault inside a provider, whose effect nobody knows."""
    return ResourceFailure(f"{type(error).__name__}: {error}", uncertain=True)


def same(entry: Resource, old: Resource) -> Step:
    """The step that changes nothing in the cloud."""
    return Step(op=Op.SAME, urn=entry.urn, type=entry.type, old=old, new=entry)
