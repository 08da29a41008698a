"""Events of the official engine as ours: the same steps, in the same order, in the same words.

The official engine tells of a step before it begins (`resource_pre_event`) and when it ended (`res_outputs_event`,
`res_op_failed_event`). Secrets in its values are hidden already; unknown values are the sentinel.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pulumi.automation import EngineEvent, StepEventMetadata, StepEventStateMetadata

from cloudmodel.core.resource import DiffKind
from cloudmodel.deploy.outcome import default_provider
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import changed_keys, described, replacing
from cloudmodel.engine.reporting import Failure, Reporter
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Change, Op, Step

# Operations that have another name in ours.
OPS = {
    "discard-replaced": Op.DISCARD,
    "import-replacement": Op.CREATE_REPLACEMENT,
    "remove-pending-replace": Op.DISCARD,
}
REFRESHED = {"update": Op.REFRESH, "delete": Op.DELETE, "same": Op.SAME}
REPLACING = (Op.CREATE_REPLACEMENT, Op.REPLACE)


class Translator:
    """Receives one run's events and passes them on through `reporter`. Safe for several threads.

    `refresh_alone` is true where nothing but a refresh runs, which then tells of what is the same, too.
    """

    def __init__(self, reporter: Reporter, *, refresh_alone: bool = False) -> None:
        self.errors: list[tuple[str, str]] = []  # (URN or empty, what was said)
        self.seen: dict[str, Resource] = {}  # what each resource became
        self._reporter = reporter
        self._refresh_alone = refresh_alone
        self._refreshing: set[str] = set()
        self._since: dict[tuple[str, Op], float] = {}
        self._done: set[tuple[str, Op, str]] = set()
        self._room: list[tuple[Step, float | None]] = []
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: EngineEvent) -> None:
        with self._lock:
            if event.resource_pre_event:
                self._before(event.resource_pre_event.metadata)
            elif event.res_outputs_event:
                self._after(event.res_outputs_event.metadata)
            elif event.res_op_failed_event:
                self._failed(event.res_op_failed_event.metadata)
            elif event.diagnostic_event:
                said = event.diagnostic_event
                if not said.ephemeral:
                    self._say(said.severity, said.message.strip(), said.urn or "")

    def finish(self) -> None:
        """Report the deletions that turned out to make room for nothing."""
        with self._lock:
            self._report_room(makes_room=False)

    def _before(self, told: StepEventMetadata) -> None:
        if told.op.value == "refresh":
            self._refreshing.add(told.urn)
            return
        step = _step(told)
        if default_provider(step):
            return
        self._since[(told.urn, step.op)] = self._reporter.started(step)
        if step.op in REPLACING:  # then the program still runs: no deletion so far was one of those at its end
            self._report_room(makes_room=True)

    def _after(self, told: StepEventMetadata) -> None:
        if told.urn in self._refreshing:
            self._refreshing.discard(told.urn)
            self._refreshed(told)
            return
        step = _step(told)
        if step.new:
            self.seen[step.urn] = step.new
        if default_provider(step):
            return
        identity = (step.urn, step.op, step.old.id if step.old else "")
        if identity in self._done:  # a component's outputs come as a second event
            return
        self._done.add(identity)
        since = self._since.get((told.urn, step.op))
        if step.op is Op.DELETE_REPLACED:
            self._room.append((step, since))
        else:
            self._reporter.done(step, since)

    def _refreshed(self, told: StepEventMetadata) -> None:
        old, new = _resource(told.old), _resource(told.new)
        op = REFRESHED.get(told.op.value, Op.REFRESH) if new else Op.DELETE
        diff: Mapping[str, Change] = {}
        if op is Op.REFRESH and old and new:
            diff = described(changed_keys(old.outputs, new.outputs), old.outputs, new.outputs)
            diff |= described(changed_keys(old.inputs, new.inputs), old.inputs, new.inputs)
            op = op if diff else Op.SAME
        readable = bool(new and new.custom) and not urns.is_provider(told.type)
        if op is Op.SAME and not (self._refresh_alone and readable):
            return
        note = "gone" if op is Op.DELETE else ""
        self._reporter.done(Step(op, told.urn, told.type, diff=diff, old=old, new=new, note=note))

    def _failed(self, told: StepEventMetadata) -> None:
        step = _step(told)
        message = self._said.get(told.urn) or "the operation failed"
        since = self._since.get((told.urn, step.op)) or self._reporter.started(step)
        self._reporter.failed(Failure(step=step, message=message), since)

    def _say(self, severity: str, message: str, urn: str) -> None:
        if severity == "error" and message:
            self.errors.append((urn, message))
            if urn:
                self._said[urn] = message
        if message:
            self._reporter.say(severity.partition("#")[0], message, urn)

    def _report_room(self, *, makes_room: bool) -> None:
        for step, since in self._room:
            self._reporter.done(step, since, makes_room=makes_room)
        self._room.clear()


def _step(told: StepEventMetadata) -> Step:
    op = OPS.get(told.op.value) or Op(told.op.value)
    old, new = _resource(told.old), _resource(told.new)
    kinds = {path: DiffKind(change.diff_kind.value) for path, change in (told.detailed_diff or {}).items()}
    if not kinds and told.diffs:
        kinds = dict.fromkeys(told.diffs, DiffKind.UPDATE)
    # Of a resource of its own, a Stash, the engine tells why it is replaced, but not in the kind of the change.
    kinds |= {path: replacing(kinds[path]) for path in told.keys or () if path in kinds}
    return Step(
        op=op,
        urn=told.urn,
        type=told.type,
        diff=described(kinds, old.inputs if old else {}, new.inputs if new else {}),
        replace_reasons=tuple(sorted(told.keys or ())),
        old=old,
        new=new,
    )


def _resource(told: StepEventStateMetadata | None) -> Resource | None:
    if told is None:
        return None
    return Resource(
        urn=told.urn,
        type=told.type,
        custom=bool(told.custom),
        id=told.id or "",
        inputs=dict(told.inputs or {}),
        outputs=dict(told.outputs or {}),
        parent=told.parent or "",
        provider=told.provider or "",
        delete=bool(told.delete),
        protect=bool(told.protect),
        retain_on_delete=bool(told.retain_on_delete),
    )


def planned(entries: Iterable[Resource], plan: Mapping[str, Any]) -> tuple[Resource, ...]:
    """`entries` with the edges that Pulumi's own plan file names, so that they can be put in order."""
    result = []
    for entry in entries:
        goal = (plan.get("resourcePlans", {}).get(entry.urn) or {}).get("goal") or {}
        edges = goal.get("propertyDependencies") or {}
        result.append(
            replace(
                entry,
                parent=goal.get("parent") or entry.parent,
                dependencies=tuple(goal.get("dependencies") or ()),
                property_dependencies={name: tuple(found or ()) for name, found in edges.items()},
                deleted_with=goal.get("deletedWith") or "",
            )
        )
    return tuple(result)
