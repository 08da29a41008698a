"""What a stack is known to hold: resources in Pulumi's terms, and operations whose end is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from cloudmodel.core.resource import Properties

Key = tuple[str, str]


@dataclass(frozen=True)
class Resource:
    """One entry of the state. Secrets in `inputs` and `outputs` are in the wire form of `core.resource`, which is why
    neither is part of its repr (I12).

    `custom` is false for components and for the stack itself, which have no id. `provider` is `<provider
    urn>::<provider id>`.
    `delete` marks the old half of a replacement that still has to be deleted; `pending_replacement` marks a
    resource that was
    deleted before its replacement was made. `property_dependencies` maps an input to the URNs its value came from.
    `custom_timeouts` are seconds by verb. `extra` holds fields of a newer minor form, written back as they were read.
    """

    urn: str
    type: str
    custom: bool = True
    id: str = ""
    inputs: Properties = field(default_factory=dict, repr=False)
    outputs: Properties = field(default_factory=dict, repr=False)
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deleted_with: str = ""
    protect: bool = False
    external: bool = False
    retain_on_delete: bool = False
    delete: bool = False
    pending_replacement: bool = False
    import_id: str = ""
    init_errors: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    custom_timeouts: Mapping[str, float] = field(default_factory=dict)
    created: str = ""
    modified: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the URN."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def key(self) -> Key:
        """What tells entries apart: one live entry a URN, and any number that wait for their deletion."""
        return (self.urn, f"deleted:{self.id}" if self.delete else "")


class PendingKind(StrEnum):
    """What was being done when the run stopped, in the checkpoint's words."""

    CREATING = "creating"
    UPDATING = "updating"
    DELETING = "deleting"
    READING = "reading"
    IMPORTING = "importing"


@dataclass(frozen=True)
class PendingOperation:
    """A provider operation that began and whose end is not recorded; `resource` holds the checked inputs."""

    resource: Resource
    kind: PendingKind


@dataclass(frozen=True)
class Mutation:
    """One atomic change of a state: entries to put (by key) and entries to drop."""

    put: tuple[Resource, ...] = ()
    drop: tuple[Key, ...] = ()


@dataclass(frozen=True)
class State:
    """A stack's state. `resources` is in topological order: a provider, parent or dependency stands before its
    users."""

    project: str
    stack: str
    resources: tuple[Resource, ...] = ()
    pending: tuple[PendingOperation, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def live(self, urn: str) -> Resource | None:
        """The entry of `urn` that is not waiting for its deletion."""
        return next((entry for entry in self.resources if entry.urn == urn and not entry.delete), None)

    def changed(self, mutations: Iterable[Mutation]) -> State:
        """This state after `mutations`, in their order; new entries come last."""
        entries = {entry.key: entry for entry in self.resources}
        for mutation in mutations:
            for key in mutation.drop:
                entries.pop(key, None)
            for entry in mutation.put:
                entries[entry.key] = entry
        return replace(self, resources=tuple(entries.values()))


class Recorder(Protocol):
    """Where a run writes what it does, before and after it does it. Methods may be called from several threads.

    Each method returns only when its record is durable; it raises core.errors.SaveFailed when it cannot be,
    and then the run starts no further operation (I16).
    """

    @property
    def state(self) -> State:
        """The state with everything recorded so far."""

    def begin(self, operation: PendingOperation) -> int:
        """Record that a provider call is about to be made; returns the operation's number."""

    def end(self, operation: int, mutation: Mutation) -> None:
        """Record how it ended, in one atomic record with what it changed."""

    def write(self, mutation: Mutation) -> None:
        """Record a change that needed no provider call."""

    def settle(self, operation: PendingOperation, mutation: Mutation) -> None:
        """Resolve an operation that an earlier run left pending: adopted, or found to have done nothing."""
