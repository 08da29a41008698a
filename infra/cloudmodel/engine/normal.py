"""One form for all states that mean the same.

Order: a provider, parent or dependency before its users, ties by URN. Left out: what differs between two runs or two
engines though nothing changed (`VOLATILE`, how secrets are sealed, the order inside dependency lists, a provider's
`__internal`).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from cloudmodel.engine.checkpoint import encode, write_resource
from cloudmodel.engine.secrets import dump
from cloudmodel.engine.state import Resource, State

VOLATILE = ("created", "modified", "sourcePosition", "stackTrace")


def references(resource: Resource) -> Iterator[tuple[str, str]]:
    """(kind, URN) of everything that must stand before `resource`."""
    if resource.parent:
        yield "parent", resource.parent
    if resource.provider:
        yield "provider", resource.provider.rpartition("::")[0]
    for urn in resource.dependencies:
        yield "dependency", urn
    for name, urns in resource.property_dependencies.items():
        for urn in urns:
            yield f"dependency of {name}", urn
    if resource.deleted_with:
        yield "deletedWith", resource.deleted_with


def ordered(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """The canonical order: topological, ties by URN. What lies on a cycle comes last, by URN.

    A live entry stands after the live entry that it names; the old half of a replacement after the old halves of
    what it names, because that is what it was made from.
    """
    entries = sorted(resources, key=lambda entry: (entry.urn, entry.delete, entry.id))
    found: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        found[(entry.urn, entry.delete)].append(index)
    users: dict[int, list[int]] = defaultdict(list)
    missing = [0] * len(entries)
    for index, entry in enumerate(entries):
        for urn in {urn for _, urn in references(entry)}:
            for needed in found.get((urn, entry.delete)) or found.get((urn, not entry.delete)) or []:
                if needed != index:
                    users[needed].append(index)
                    missing[index] += 1
    ready = [index for index, count in enumerate(missing) if not count]
    done: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        done.append(index)
        for user in users[index]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, user)
    placed = set(done)
    return tuple(entries[index] for index in [*done, *(i for i in range(len(entries)) if i not in placed)])


def canonical(state: State) -> State:
    """`state` with its resources in canonical order."""
    return replace(state, resources=ordered(state.resources))


def normal_form(state: State) -> dict[str, Any]:
    """`state` as JSON in the one form. Secrets stand in it in clear: for comparing and hashing only."""
    pending = [{"kind": operation.kind.value, "resource": _normal(operation.resource)} for operation in state.pending]
    return {
        "project": state.project,
        "stack": state.stack,
        "resources": [_normal(resource) for resource in ordered(state.resources)],
        "pending": sorted(pending, key=dump),
        "metadata": dict(state.metadata),
    }


def fingerprint(state: State) -> str:
    """Hex sha256 of the normal form; changes only when something changed (I15)."""
    return hashlib.sha256(dump(normal_form(state)).encode()).hexdigest()


def equal(one: State, other: State) -> bool:
    """Whether two states mean the same."""
    return dump(normal_form(one)) == dump(normal_form(other))


def _normal(resource: Resource) -> dict[str, Any]:
    form = write_resource(resource, _in_clear)
    edges = {name: _sorted(urns) for name, urns in resource.property_dependencies.items() if urns}
    if resource.type.startswith("pulumi:providers:"):
        for name in ("inputs", "outputs"):
            form[name] = {key: value for key, value in form.get(name, {}).items() if key != "__internal"}
    form |= {"dependencies": _sorted(resource.dependencies), "propertyDependencies": edges}
    return {name: value for name, value in form.items() if value and name not in VOLATILE}


def _sorted(urns: Sequence[str]) -> list[str]:
    return sorted(set(urns))


def _in_clear(urn: str, path: str, value: Any) -> dict[str, Any]:
    return {"secret": encode(value, urn, path, _in_clear)}
