"""A world for each test: a cloud in memory, a stack's record, and programs that the real Pulumi SDK runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fake_cloud
from cloudmodel.core.errors import SaveFailed, UsageError
from cloudmodel.core.resource import Live, ResourceNotReady
from cloudmodel.engine import normal
from cloudmodel.engine import run as engine
from cloudmodel.engine.integrity import check
from cloudmodel.engine.planner import Plan
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.state import Mutation, PendingOperation, Resource, State
from cloudmodel.engine.step import Event, Op
from things import Aws, Box, Thing


class MortalRecorder(MemoryRecorder):
    """A recorder that dies with the cloud's process: what is recorded stays, and nothing is added."""

    def __init__(self, state: State, cloud: Any) -> None:
        super().__init__(state)
        self._cloud = cloud
        self.records: list[Mutation] = []

    def _alive(self) -> None:
        if self._cloud.dead:
            raise fake_cloud.Crash

    def begin(self, operation: PendingOperation) -> int:
        self._alive()
        return super().begin(operation)

    def end(self, operation: int, mutation: Mutation) -> None:
        self._alive()
        super().end(operation, mutation)
        self.records.append(mutation)

    def write(self, mutation: Mutation) -> None:
        self._alive()
        super().write(mutation)
        self.records.append(mutation)

    def settle(self, operation: PendingOperation, mutation: Mutation) -> None:
        self._alive()
        super().settle(operation, mutation)
        self.records.append(mutation)


@dataclass
class World:
    """A stack and its cloud over several runs. Every run's events and result are kept."""

    transport: Any
    cloud: Any
    state: State = field(default_factory=lambda: State(project="proj", stack="dev"))
    config: dict[str, str] = field(default_factory=dict)
    secret_keys: frozenset[str] = frozenset()
    parallel: int = 8
    folder: Path | None = None
    events: list[Event] = field(default_factory=list)
    recorder: Any = None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, program: Callable[[], object]) -> engine.Run:
        return engine.Run(
            project="proj",
            stack="dev",
            program=program,
            providers=self.cloud.factory,
            config=self.config,
            secret_keys=self.secret_keys,
            parallel=self.parallel,
            folder=self.folder,
            transport=self.transport,
        )

    def preview(self, program: Callable[[], object], **options: Any) -> engine.Result:
        return engine.preview(self.run(program), self.state, self.events.append, stop=self.stop, **options)

    def up(
        self, program: Callable[[], object], *, plan: Plan | None = None, replace: Iterable[str] = (), **options: Any
    ) -> engine.Result:
        return self._recorded(
            lambda recorder: engine.up(
                self.run(program), recorder, self.events.append, plan=plan, replace=replace, stop=self.stop, **options
            )
        )

    def refresh(self, **options: Any) -> engine.Result:
        run = self.run(lambda: None)
        return self._recorded(
            lambda recorder: engine.refresh(run, recorder, self.events.append, stop=self.stop, **options)
        )

    def destroy(self, **options: Any) -> engine.Result:
        run = self.run(lambda: None)
        return self._recorded(
            lambda recorder: engine.destroy(run, recorder, self.events.append, stop=self.stop, **options)
        )

    def made(self, program: Callable[[], object]) -> engine.Result:
        """An `up` that must succeed, after which the record of calls and events is empty."""
        result = self.up(program).raise_error()
        self.cloud.forget_calls()
        self.events.clear()
        return result

    def entry(self, name: str) -> Resource:
        """The live entry that is called `name`."""
        return next(item for item in self.state.resources if item.name == name and not item.delete)

    def names(self) -> list[str]:
        """The names of the custom resources in the state, sorted; providers left out."""
        return sorted(item.name for item in self.state.resources if item.custom and "providers" not in item.type)

    def names_in_cloud(self) -> list[str]:
        """The names of the resources that exist, by the ids that the state knows."""
        known = {item.id: item.name for item in self.state.resources}
        return sorted(known.get(id, id) for id in self.cloud.names())

    def unrecorded(self) -> set[str]:
        """The ids that exist in the cloud though neither the state nor a pending operation knows them (I1)."""
        known = {item.id for item in self.state.resources}
        known |= {operation.resource.inputs.get("name", "") for operation in self.state.pending}
        return set(self.cloud.names()) - known

    def restart(self) -> None:
        """The process that died is followed by another one."""
        self.cloud.dead = False
        self.cloud.crash_at = None
        self.cloud.forget_calls()

    def _recorded(self, work: Callable[[Any], engine.Result]) -> engine.Result:
        self.recorder = MortalRecorder(self.state, self.cloud)
        try:
            return work(self.recorder)
        finally:
            self.state = replace(self.recorder.state)


def ops(result: engine.Result) -> list[tuple[str, str]]:
    """The steps as (operation, name), the stack left out."""
    return [(step.op.value, step.name) for step in result.steps if step.type != "pulumi:pulumi:Stack"]


def changes(result: engine.Result) -> list[tuple[str, str]]:
    """The same, without what stays the same."""
    return [item for item in ops(result) if item[0] != Op.SAME.value]


def sound(state: State) -> tuple[str, ...]:
    """What is wrong with `state`, whatever order it was recorded in."""
    return check(normal.canonical(state))


def new_world(transport: str) -> World:
    """An empty stack and an empty cloud."""
    return World(transport=transport, cloud=fake_cloud.Cloud())


@pytest.fixture(params=["stub", "grpc"])
def world(request: pytest.FixtureRequest) -> World:
    """An empty stack; every test that asks for it runs over both transports."""
    return new_world(request.param)


@dataclass(frozen=True)
class Kit:
    """What programs of the tests are made of."""

    thing: type[Thing] = Thing
    box: type[Box] = Box
    aws: type[Aws] = Aws
    cloud: ModuleType = fake_cloud
    ops: Callable[[engine.Result], list[tuple[str, str]]] = ops
    changes: Callable[[engine.Result], list[tuple[str, str]]] = changes
    sound: Callable[[State], tuple[str, ...]] = sound
    equal: Callable[[State, State], bool] = normal.equal
    engine: ModuleType = engine
    world: Callable[[str], World] = new_world
    recorder: type[MemoryRecorder] = MemoryRecorder
    usage_error: type[Exception] = UsageError
    save_failed: type[Exception] = SaveFailed
    live: type[Live] = Live
    not_ready: type[ResourceNotReady] = ResourceNotReady


@pytest.fixture
def kit() -> Kit:
    return Kit()
