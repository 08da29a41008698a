"""The narrow edge between the verbs and whichever engine carries them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cloudmodel.deploy.landed import Untrue
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.deploy.rebuild import Rebuilt
from cloudmodel.engine.holder import Owner
from cloudmodel.engine.step import Events

EMBEDDED = "embedded"
OFFICIAL = "official"


@dataclass(frozen=True)
class Options:
    """Pulumi's flags that reach an engine. `plan` is a sealed plan's file; `message` goes to the history."""

    parallel: int | None = None
    refresh: bool = False
    replace: tuple[str, ...] = ()
    expect_no_changes: bool = False
    message: str = ""
    plan: Path | None = None
    show_secrets: bool = False


@dataclass(frozen=True)
class Update:
    """One entry of a stack's history. Times are ISO 8601, UTC.

    `result`: succeeded, failed, cancelled, interrupted, in-progress. `environment` says who made it from what: user,
    actor, ci (an address), git.commit. `bundle` and `revision` are what stood afterwards.
    """

    version: int
    kind: str
    result: str
    started: str
    ended: str
    message: str
    summary: Mapping[str, int]
    environment: Mapping[str, str]
    bundle: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Drift:
    """How the cloud differs from the state: the steps of a refresh that nobody carried out, what endpoints serve, and
    what could not be looked at."""

    outcome: Outcome
    serving: tuple[Untrue, ...]
    unseen: tuple[str, ...]


class Engine(Protocol):
    """A stack of a project on one engine. Raises the errors of core.errors; a failed step is in
    OperationFailed.details. `rollback` carries out what `preview_rollback` of the same object planned."""

    @property
    def name(self) -> str:
        """What `--engine` calls it."""

    def stop(self) -> None:
        """Finish what runs, start nothing more, and let the run end with Cancelled. May be called from any thread."""

    def preview(self, options: Options, events: Events) -> Outcome: ...
    def preview_destroy(self, options: Options, events: Events) -> Outcome: ...
    def up(self, options: Options, events: Events) -> Outcome: ...
    def refresh(self, options: Options, events: Events) -> Outcome: ...
    def destroy(self, options: Options, events: Events) -> Outcome: ...
    def preview_rollback(self, to: str | None, options: Options, events: Events) -> Outcome: ...
    def rollback(self, options: Options, events: Events) -> Outcome: ...
    def drift(self, options: Options, events: Events) -> Drift: ...
    def outputs(self, *, show_secrets: bool = False) -> Mapping[str, Any]: ...
    def history(self) -> tuple[Update, ...]: ...
    def holder(self) -> Owner | None: ...
    def cancel(self) -> str | None: ...
    def export_state(self, *, show_secrets: bool = False) -> dict[str, Any]: ...
    def import_state(self, document: Mapping[str, Any]) -> None: ...
    def rebuild_state(self, options: Options, events: Events) -> Rebuilt:
        """Put a state in the place of the one that is lost: what the program asks for, as far as it stands."""

    def verify_state(self) -> tuple[str, ...]: ...

    def pending(self) -> tuple[str, ...]:
        """What a run began whose end is not recorded, such as `creating URN`."""

    def unlock(self, lock_id: str) -> None: ...
    def remove(self, *, force: bool = False) -> None: ...
