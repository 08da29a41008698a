"""An engine that does what a scenario says, in the place of the real ones: what is under test is the command line.

Run as a program it is `cloudmodel` with that engine, for tests that need a process: FAKE_ENGINE names the scenario.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from cloudmodel.core.errors import Cancelled, OperationFailed, StackLocked, StateCorrupt
from cloudmodel.core.resource import DiffKind
from cloudmodel.deploy.engines import Options, Update
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.holder import Owner
from cloudmodel.engine.step import Change, Diagnostic, Events, Op, Phase, Step, StepEvent

ROOT = "urn:pulumi:local::digits"
BUCKET = "aws:s3/bucket:Bucket"
STACK = Step(Op.CREATE, f"{ROOT}::pulumi:pulumi:Stack::digits-local", "pulumi:pulumi:Stack")
MODELS = Step(Op.CREATE, f"{ROOT}::{BUCKET}::models", BUCKET)
TOPIC = Step(
    Op.UPDATE,
    f"{ROOT}::aws:sns/topic:Topic::alarms",
    "aws:sns/topic:Topic",
    {"displayName": Change(DiffKind.UPDATE, "a", "b")},
)
CHANGES = (STACK, MODELS, TOPIC)
SAME = tuple(dataclasses.replace(step, op=Op.SAME, diff={}) for step in CHANGES)


class FakeEngine:
    """`calls` has every verb with its options, in order."""

    name = "embedded"

    def __init__(self, stack: str, scenario: str) -> None:
        self.stack = stack
        self.scenario = scenario
        self.calls: list[tuple[str, Any]] = []
        self.stopped = threading.Event()

    def outcome(self, **more: Any) -> Outcome:
        steps = SAME if self.scenario == "same" else CHANGES
        made = Outcome(self.stack, "local", "embedded", "us-east-1", "000000000000", steps, {"endpoint_name": "digits"})
        return dataclasses.replace(made, **more)

    def preview(self, options: Options, events: Events) -> Outcome:
        self.calls.append(("preview", options))
        if self.scenario == "bug":
            raise KeyError("nobody foresaw this")
        if self.scenario == "locked":
            raise StackLocked("held by ci-41", where="stack local", hint="cloudmodel state unlock --stack local --id 1")
        events(Diagnostic("warning", "mind the gap", MODELS.urn))
        events(Diagnostic("warning", "an instance costs money"))
        events(Diagnostic("debug", "only with --debug"))
        for step in CHANGES:
            events(StepEvent(step, Phase.PLANNED))
        return self.outcome(warnings=("an instance costs money",))

    def preview_destroy(self, options: Options, events: Events) -> Outcome:
        self.calls.append(("preview_destroy", options))
        gone = tuple(dataclasses.replace(step, op=Op.DELETE, diff={}) for step in (MODELS, STACK))
        return self.outcome(steps=gone, outputs={})

    def up(self, options: Options, events: Events) -> Outcome:
        self.calls.append(("up", options))
        return self.run(events)

    def refresh(self, options: Options, events: Events) -> Outcome:
        self.calls.append(("refresh", options))
        return self.run(events)

    def destroy(self, options: Options, events: Events) -> Outcome:
        self.calls.append(("destroy", options))
        return self.run(events)

    def run(self, events: Events) -> Outcome:
        events(StepEvent(MODELS, Phase.STARTED))
        if self.scenario in ("patient", "deaf"):
            self.stopped.wait()
            if self.scenario == "deaf":
                threading.Event().wait()
            events(StepEvent(MODELS, Phase.DONE, 0.5))
            raise Cancelled("stopped after 1 of 2 operations", hint="run it again to go on")
        if self.scenario == "fails":
            events(StepEvent(MODELS, Phase.FAILED, 0.5, "BucketAlreadyExists"))
            raise OperationFailed("models: BucketAlreadyExists", where=MODELS.urn, details={"failed": [MODELS.urn]})
        events(StepEvent(MODELS, Phase.DONE, 0.44))
        return self.outcome(duration_s=1.5)

    def stop(self) -> None:
        self.stopped.set()

    def outputs(self, *, show_secrets: bool = False) -> Mapping[str, Any]:
        return {"endpoint_name": "digits", "count": 2, "token": "hunter2" if show_secrets else "[secret]"}

    def history(self) -> tuple[Update, ...]:
        first = Update(1, "update", "succeeded", "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z", "", {"create": 2}, {})
        made_by = {"actor": "anna", "user": "root", "git.commit": "1f" * 20, "ci": "https://ci.example/9"}
        return (
            first,
            dataclasses.replace(
                first,
                version=2,
                result="failed",
                message="a\x1b[2J\nb",
                environment=made_by,
                bundle=f"sha256:{'a' * 64}",
            ),
        )

    def cancel(self) -> str | None:
        self.calls.append(("cancel", None))
        return "run 7 of ci-41" if self.scenario == "locked" else None

    def export_state(self, *, show_secrets: bool = False) -> dict[str, Any]:
        entries = [
            {"urn": STACK.urn, "type": STACK.type, "custom": False},
            {"urn": MODELS.urn, "type": MODELS.type, "custom": True, "id": "b-1"},
        ]
        return {"version": 3, "deployment": {"resources": entries}}

    def import_state(self, document: Mapping[str, Any]) -> None:
        self.calls.append(("import", document))
        if document.get("version") != 3:
            raise StateCorrupt("no version 3")

    def verify_state(self) -> tuple[str, ...]:
        return ("models stands before its parent",) if self.scenario == "corrupt" else ()

    def holder(self) -> Owner | None:
        held = Owner("41", 1, "anna", "build-7", 4711, "up", "2026-01-05T03:00:00+00:00", "", "")
        return held if self.scenario in ("held", "taken over") else None

    def pending(self) -> tuple[str, ...]:
        return (f"creating {MODELS.urn}",) if self.scenario == "held" else ()

    def unlock(self, lock_id: str) -> None:
        self.calls.append(("unlock", lock_id))
        if self.scenario == "taken over":
            raise StackLocked("held by ci-42", where="stack local", hint="cloudmodel state unlock --id 42")

    def remove(self, *, force: bool = False) -> None:
        self.calls.append(("remove", force))


class Fleet(ModuleType):
    """Takes the place of the module `cloudmodel.deploy.select`; `opened` are the engines it was asked for."""

    def __init__(self, scenario: str = "") -> None:
        super().__init__("cloudmodel.deploy.select")
        self.scenario = scenario
        self.opened: list[FakeEngine] = []
        self.asked: list[tuple[str | None, bool]] = []

    def open_engine(
        self, project: object, settings: object, stack: str, *, engine: str | None = None, offline: bool = False
    ) -> FakeEngine:
        self.asked.append((engine, offline))
        self.opened.append(FakeEngine(stack, self.scenario))
        return self.opened[-1]

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """Every call of every engine."""
        return [call for engine in self.opened for call in engine.calls]


if __name__ == "__main__":
    sys.modules["cloudmodel.deploy.select"] = Fleet(os.environ["FAKE_ENGINE"])
    from cloudmodel.cli.main import run

    run()
