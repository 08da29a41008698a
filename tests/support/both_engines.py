"""The embedded and the official engine, each with a cloud in memory of its own: the same calls, answers in one form."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

from cloudmodel.core.resource import Checked, Live, Properties, ResourceNotReady
from cloudmodel.deploy.official.cli import require
from cloudmodel.deploy.official.command import Command
from cloudmodel.deploy.official.plugin import Plugin
from cloudmodel.deploy.official.session import Program, Session
from cloudmodel.deploy.official.stack import OpenStack, Workspace
from cloudmodel.engine import checkpoint, normal
from cloudmodel.engine import run as engine
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.run import Result
from cloudmodel.engine.secrets import Passphrase, Secrets
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Event
from fake_cloud import MUTATING, Call, Cloud, FakeProvider

PROJECT, STACK = "proj", "dev"
PASSPHRASE = "correct horse"
PARALLEL = 16
PATIENCE = 120  # seconds that a call waits for others which the plan promised
METHODS = (
    "Handshake", "GetPluginInfo", "Cancel", "CheckConfig", "DiffConfig", "Configure", "Invoke", "Check", "Diff",
    "Create", "Read", "Update", "Delete",
)  # fmt: skip

Verb = Literal["up", "refresh", "destroy"]


@dataclass(frozen=True)
class Moment:
    """A call that changes the cloud began or ended."""

    begins: bool
    call: Call


class RecordedCloud(Cloud):
    """A cloud that also keeps when calls began and ended, and in which a call can be made to wait for others.

    `unready` are calls that take effect and fail all the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.course: list[Moment] = []
        self.unready: set[tuple[str, str]] = set()
        self.waits: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._over: set[tuple[str, str]] = set()
        self._moved = threading.Condition()
        self.before = self._wait

    def forget_calls(self) -> None:
        super().forget_calls()
        self.course.clear()
        self._over.clear()

    def perform(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.verb not in MUTATING:
            return super().perform(call, effect)
        with self._moved:
            self.course.append(Moment(True, call))
        try:
            return super().perform(call, effect)
        finally:
            with self._moved:
                self.course.append(Moment(False, call))
                self._over.add((call.verb, call.name))
                self._moved.notify_all()

    def _wait(self, call: Call) -> None:
        """A call that is to fail does so when nothing else can be done any more: else chance decides what was done."""
        needed = self.waits.get((call.verb, call.name))
        if needed is None:
            return
        with self._moved:
            self._over.add((call.verb, call.name))  # those that fail together wait for each other's beginning
            self._moved.notify_all()
            self._moved.wait_for(lambda: needed <= self._over, timeout=PATIENCE)


class NumberedProvider(FakeProvider):
    """Automatic names count, so that two clouds give the same ones."""

    cloud: RecordedCloud

    def check(self, urn: str, type: str, olds: Properties | None, news: Properties, seed: bytes) -> Checked:
        own = urn.rsplit("::", 1)[-1]
        with self.cloud.lock:
            taken = {id for _, _, id in self.cloud.things}
        free = next(number for number in range(len(taken) + 1) if f"{own}-{number.to_bytes(4).hex()}" not in taken)
        return super().check(urn, type, olds, news, free.to_bytes(4))

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        live = super().create(urn, type, inputs, timeout, preview)
        return live if preview else self._ready("create", urn, live)

    def update(self, urn: str, *rest: Any) -> Live:
        live = super().update(urn, *rest)
        return live if rest[-1] else self._ready("update", urn, live)

    def _ready(self, verb: str, urn: str, live: Live) -> Live:
        if (verb, urn.rsplit("::", 1)[-1]) in self.cloud.unready:
            raise ResourceNotReady("it is not ready", live)
        return live


@dataclass
class Side:
    """One engine with its cloud and the state that its last run left."""

    name: str
    cloud: RecordedCloud = field(default_factory=RecordedCloud)
    state: State = field(default_factory=lambda: State(PROJECT, STACK))
    events: list[Event] = field(default_factory=list)

    def preview(self, program: Callable[[], object], **options: Any) -> Result:
        """What `up` would do."""
        raise NotImplementedError

    def run(self, verb: Verb, program: Callable[[], object], **options: Any) -> Result:
        """Do it."""
        raise NotImplementedError

    def take(self, document: Mapping[str, Any]) -> None:
        """Go on from what the other engine exported."""
        raise NotImplementedError

    def export(self) -> dict[str, Any]:
        """The state as the engine exports it, secrets sealed."""
        raise NotImplementedError


@dataclass
class Embedded(Side):
    """The embedded engine, its record in memory."""

    secrets: Secrets = field(default_factory=lambda: Secrets(lambda _: Passphrase(PASSPHRASE, "the test")))

    def preview(self, program: Callable[[], object], **options: Any) -> Result:
        return engine.preview(self._run(program), self.state, self.events.append, **options)

    def preview_destroy(self) -> Result:
        """What `destroy` would do."""
        return engine.destroy(self._run(lambda: None), MemoryRecorder(self.state), self.events.append, preview=True)

    def run(self, verb: Verb, program: Callable[[], object], **options: Any) -> Result:
        recorder = MemoryRecorder(self.state)
        result: Result = getattr(engine, verb)(self._run(program), recorder, self.events.append, **options)
        self.state = replace(recorder.state)
        return result

    def take(self, document: Mapping[str, Any]) -> None:
        self.state = checkpoint.read(document, PROJECT, STACK, self.secrets, "the official export").state

    def export(self) -> dict[str, Any]:
        return checkpoint.export(normal.canonical(self.state), self.secrets)

    def _run(self, program: Callable[[], object]) -> engine.Run:
        return engine.Run(
            project=PROJECT,
            stack=STACK,
            program=program,
            providers=lambda _: NumberedProvider(self.cloud),
            parallel=PARALLEL,
        )


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Our plugin's own servicer, a provider for each that the engine configures: each has a connection of its own."""

    def __init__(self, cloud: Callable[[], RecordedCloud]) -> None:
        self._cloud = cloud
        self._plugins: dict[str, Plugin] = {}
        self._lock = threading.Lock()

    def plugin(self, peer: str) -> Plugin:
        with self._lock:
            return self._plugins.setdefault(peer, Plugin(NumberedProvider(self._cloud())))

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine has a new provider: its connection may have the port of one that is gone."""
        with self._lock:
            self._plugins.pop(context.peer(), None)
        return empty_pb2.Empty()


def _passed_on(method: str) -> Callable[[Servicer, Any, Any], Any]:
    def call(self: Servicer, request: Any, context: Any) -> Any:
        return getattr(self.plugin(context.peer()), method)(request, context)

    return call


for _method in METHODS:
    setattr(Servicer, _method, _passed_on(_method))


@dataclass
class Official(Side):
    """Pulumi's own command line on one stack with a backend of its own; its provider runs here, over gRPC.

    `secrets` are what both engines' exports are sealed with: to derive a key takes time.
    """

    secrets: Secrets = field(default_factory=lambda: Secrets(lambda _: Passphrase(PASSPHRASE, "the test")))
    stack: OpenStack | None = None
    command: Command | None = None
    folder: Path = Path()

    def preview(self, program: Callable[[], object], **options: Any) -> Result:
        session = self._session(program)
        return session.preview(session.stack.preview, parallel=PARALLEL, **_flags(options))

    def run(self, verb: Verb, program: Callable[[], object], **options: Any) -> Result:
        session = self._session(program)
        method = getattr(session.stack, verb)
        refreshed = bool(verb == "refresh" or options.get("refresh"))
        result = session.change(method, refreshed=refreshed, parallel=PARALLEL, **_flags(options))
        if result.error:
            gc.collect()  # the program that was left in its middle: when it goes while Python parses, 3.11 gives up
        self.state = result.state
        return result

    def take(self, document: Mapping[str, Any]) -> None:
        assert self.stack
        self.stack.take(document)
        self.state = self.stack.state(PROJECT)

    def export(self) -> dict[str, Any]:
        assert self.stack
        return self.stack.export(show_secrets=False)

    def reset(self) -> None:
        """An empty stack and an empty cloud."""
        self.cloud = RecordedCloud()
        if self.state.resources:
            self.take({"version": checkpoint.VERSION, "deployment": {"resources": []}})

    def _session(self, program: Callable[[], object]) -> Session:
        assert self.stack and self.command
        kept = Program(program, self.folder)
        self.stack.workspace.program = kept
        session = Session(
            stack=self.stack, project=PROJECT, program=kept, command=self.command, cloud=None, account="",
            state=self.state, refresh=False, events=self.events.append, warnings=[],
        )  # fmt: skip
        for entry in self.state.resources:
            session.masker.learn(entry.inputs)
            session.masker.learn(entry.outputs)
        return session


def _flags(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if key == "replace" else value for key, value in options.items()}


@contextlib.contextmanager
def official(folder: Path) -> Iterator[Official]:
    """The official engine on a stack in `folder`."""
    side = Official("official", folder=folder)
    server = grpc.server(ThreadPoolExecutor(64))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(lambda: side.cloud), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (folder / "backend").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    environment = {
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_DEBUG_PROVIDERS": f"aws:{port}",
    }
    side.command = Command(require())
    workspace = Workspace(
        work_dir=str(folder), env_vars=environment, secrets_provider="passphrase", pulumi_command=side.command
    )
    workspace.create_stack(STACK)
    side.stack = OpenStack(STACK, workspace)
    try:
        yield side
    finally:
        server.stop(grace=None)
