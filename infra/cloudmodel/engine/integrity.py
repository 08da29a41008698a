"""What must hold of every state that is read (I5): pure, no repair."""

from __future__ import annotations

from collections.abc import Iterator

from cloudmodel.engine.normal import references
from cloudmodel.engine.state import Key, Resource, State

PROVIDER_TYPE = "pulumi:providers:"


def check(state: State) -> tuple[str, ...]:
    """The violations in `state`, in its order; empty when it is sound.

    One live entry a URN; every parent, provider and dependency stands before its user; a provider is named with the
    id that it has; components have no id and everything else has one; every URN is of this stack.
    """
    return tuple(_violations(state))


def _violations(state: State) -> Iterator[str]:
    everywhere = {entry.urn for entry in state.resources}
    before: set[str] = set()
    providers: set[str] = set()
    keys: set[Key] = set()
    for entry in state.resources:
        yield from _alone(entry, state)
        if entry.key in keys:
            yield f"{entry.urn} stands twice in the state" + (f" with the id {entry.id}" if entry.delete else "")
        for kind, urn in references(entry):
            if urn not in before:
                fault = "comes after it" if urn in everywhere else "is missing"
                yield f"{entry.urn}: its {kind} {urn} {fault}"
            elif kind == "provider" and entry.provider not in providers:
                yield f"{entry.urn}: its provider {entry.provider} is not a provider of the state"
        keys.add(entry.key)
        before.add(entry.urn)
        if entry.type.startswith(PROVIDER_TYPE):
            providers.add(f"{entry.urn}::{entry.id}")
    for operation in state.pending:
        yield from _place(operation.resource, state)


def _alone(entry: Resource, state: State) -> Iterator[str]:
    yield from _place(entry, state)
    if not entry.type:
        yield f"{entry.urn} has no type"
    if entry.custom and not entry.id:
        yield f"{entry.urn} has no id"
    if not entry.custom and entry.id:
        yield f"{entry.urn} is a component and has the id {entry.id}"


def _place(entry: Resource, state: State) -> Iterator[str]:
    if not entry.urn.startswith(f"urn:pulumi:{state.stack}::{state.project}::"):
        yield f"{entry.urn} is not a URN of the stack {state.stack} of {state.project}"
