"""Everything a run says leaves through here: masked, one at a time, and remembered in one order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cloudmodel.core.errors import Cancelled, CloudmodelError, OperationFailed
from cloudmodel.engine.masking import Masker
from cloudmodel.engine.normal import ordered, references
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Diagnostic, Events, Op, Phase, Step, StepEvent

LATE = frozenset({Op.DELETE, Op.DELETE_REPLACED, Op.DISCARD})


class Halted(Exception):
    """Nothing new may start; why is in `Control.error` or in the failures."""


@dataclass(frozen=True)
class Failure:
    """A step that failed. `uncertain` says that its outcome is not known and the next run will look."""

    step: Step
    message: str
    request: str | None = None
    hint: str | None = None
    uncertain: bool = False


class Control:
    """Whether new work may start. The first error is the run's; `stop` is the user's wish to end it."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop = stop or threading.Event()
        self.error: BaseException | None = None
        self.closed = False

    def check(self) -> None:
        """Raise Halted when the user stopped the run or something in it failed."""
        if self.closed or self.stop.is_set():
            raise Halted

    def close(self, error: BaseException | None = None) -> None:
        """Let what runs finish and start nothing else."""
        self.error = self.error or error
        self.closed = True


class Reporter:
    """Collects steps and failures and passes masked events on. Safe for several threads."""

    def __init__(self, events: Events, masker: Masker, *, preview: bool) -> None:
        self.masker = masker
        self.failures: list[Failure] = []
        self._events = events
        self._preview = preview
        self._steps: list[tuple[Step, bool]] = []
        self._lock = threading.Lock()

    def started(self, step: Step) -> float:
        """A step began; returns when, for `done` or `failed`."""
        if not self._preview and step.op is not Op.SAME:
            self._send(StepEvent(step=step, phase=Phase.STARTED))
        return time.monotonic()

    def done(self, step: Step, since: float | None = None, *, makes_room: bool = False) -> None:
        """A step succeeded or was planned; `makes_room` is true of a deletion before a replacement is made."""
        elapsed = 0.0 if since is None or self._preview else time.monotonic() - since
        with self._lock:
            self._steps.append((step, makes_room))
        self._send(StepEvent(step=step, phase=Phase.PLANNED if self._preview else Phase.DONE, seconds=elapsed))

    def failed(self, failure: Failure, since: float) -> None:
        """A step failed."""
        hidden = replace(failure, message=self.masker.mask(failure.message))
        if failure.hint:
            hidden = replace(hidden, hint=self.masker.mask(failure.hint))
        with self._lock:
            self.failures.append(hidden)
        elapsed = 0.0 if self._preview else time.monotonic() - since
        self._send(StepEvent(step=failure.step, phase=Phase.FAILED, seconds=elapsed, message=hidden.message))

    def say(self, severity: str, message: str, urn: str = "") -> None:
        """A line for the user."""
        self._send(Diagnostic(severity=severity, message=self.masker.mask(message), urn=urn))

    def steps(self, entries: Iterable[Resource]) -> tuple[Step, ...]:
        """The steps in canonical order, whatever the order they happened in.

        Topological over `entries` (all entries before the run, then all after it), ties by URN; deletions come last
        and in reverse, but those that make room for a resource come right before it.
        """
        entries = tuple(entries)
        order = {entry.urn: position for position, entry in enumerate(ordered(entries))}
        before = {entry.urn: entry for entry in reversed(entries) if not entry.delete}
        room = {step.urn: before[step.urn] for step, early in self._steps if early and step.urn in before}

        def rank(item: tuple[Step, bool]) -> tuple[int, int, int, int, str, list[str]]:
            step, makes_room = item
            position = order.get(step.urn, len(order))
            identity = [step.op.value, step.old.id if step.old else ""]
            if makes_room:
                first = min(order[urn] for urn in _roots(step.urn, room))
                return (0, first, 0, -position, step.urn, identity)
            if step.op in LATE:
                return (1, -position, 0, 0, step.urn, identity)
            return (0, position, 1, 0, step.urn, identity)

        return tuple(step for step, _ in sorted(self._steps, key=rank))

    def verdict(self, control: Control) -> CloudmodelError | None:
        """The run's error as the user sees it, or None."""
        if isinstance(control.error, CloudmodelError):
            return masked_error(control.error, self.masker)
        if self.failures:
            first = self.failures[0]
            count = len(self.failures)
            named = "" if first.message.startswith(first.step.type) else f"{first.step.type} '{first.step.name}': "
            return OperationFailed(
                f"{named}{first.message}" + (f" (and {count - 1} more failed)" if count > 1 else ""),
                where=first.step.urn,
                hint=first.hint or "mend the cause and run the same command again; what succeeded is recorded",
                runbook=None if first.step.op in (Op.READ, Op.REFRESH) else "failed-deploy",
                details={
                    "failed": [
                        {"urn": failure.step.urn, "op": failure.step.op.value, "message": failure.message}
                        for failure in self.failures
                    ]
                },
            )
        if control.stop.is_set():
            return Cancelled(
                "the run was stopped; everything that it had begun is finished and recorded",
                hint="run the same command again to go on",
            )
        return None

    def _send(self, event: StepEvent | Diagnostic) -> None:
        with self._lock:
            self._events(event)


def _roots(urn: str, room: Mapping[str, Resource]) -> set[str]:
    """Of what made room, those for whose sake `urn` did: itself, where it uses none of the others."""
    used = {needed for _, needed in references(room[urn]) if needed in room} if urn in room else set()
    return set().union(*(_roots(needed, room) for needed in used)) if used else {urn}


def masked_error(error: CloudmodelError, masker: Masker) -> CloudmodelError:
    """The same kind of error with every secret in it hidden, and nothing chained to it."""
    return type(error)(
        masker.mask(error.message),
        where=masker.mask(error.where) if error.where else None,
        hint=masker.mask(error.hint) if error.hint else None,
        runbook=error.runbook,
        details=masker.masked(error.details),
    )
