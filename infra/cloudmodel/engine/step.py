"""What the engine will do, or did, about one resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from cloudmodel.core.resource import DiffKind
from cloudmodel.engine.state import Resource


class Op(StrEnum):
    """Pulumi's operation names (source: pulumi `sdk/go/common/apitype/updates.go`)."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    READ = "read"
    READ_REPLACEMENT = "read-replacement"
    REFRESH = "refresh"
    IMPORT = "import"
    DISCARD = "discard"


@dataclass(frozen=True)
class Change:
    """One property that changes. Secret values are replaced by `[secret]`, unknown ones by `[unknown]`, before
    this is made."""

    kind: DiffKind
    old: Any = None
    new: Any = None


@dataclass(frozen=True)
class Step:
    """One line of a plan. `diff` maps wire paths to changes; `replace_reasons` are the paths that force a replacement.

    A replacement is three steps (create-replacement, replace, delete-replaced) and counts once, as Pulumi shows it.
    """

    op: Op
    urn: str
    type: str
    diff: Mapping[str, Change] = field(default_factory=dict)
    replace_reasons: tuple[str, ...] = ()
    old: Resource | None = None
    new: Resource | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The last part of the URN."""
        return self.urn.rsplit("::", 1)[-1]


class Phase(StrEnum):
    """Where a step stands."""

    PLANNED = "planned"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class StepEvent:
    """A step moved on; `seconds` since it started; `message` says why it failed (masked)."""

    step: Step
    phase: Phase
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Diagnostic:
    """Something the program, the engine or a provider says (masked). `severity`: debug, info, warning, error."""

    severity: str
    message: str
    urn: str = ""


Event = StepEvent | Diagnostic


class Events(Protocol):
    """Receives a run's events, one at a time; must return soon and never raise."""

    def __call__(self, event: Event, /) -> None: ...
