"""Preview, up, refresh and destroy of the embedded engine.

Every function returns a Result; a failure of any kind, a cancelled run included, is its typed `error` (masked), and
`Result.raise_error()` raises it. Only a bug in the engine, and what a recorder raises outside core.errors, comes out
as an exception. Setting `stop` ends a run: what it began is finished and recorded, nothing else is started.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cloudmodel.core.errors import CloudmodelError, UsageError
from cloudmodel.core.resource import ProviderFactory
from cloudmodel.engine import intent, providers, recovery, refreshing, restoring, teardown
from cloudmodel.engine import urn as urns
from cloudmodel.engine.deployment import Deployment
from cloudmodel.engine.evaluate import MIN_THREADS, Evaluation, Raised, evaluate
from cloudmodel.engine.executor import Executor
from cloudmodel.engine.ledger import Ledger
from cloudmodel.engine.masking import Masker
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.planner import Plan
from cloudmodel.engine.printed import said
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.registry import Settings
from cloudmodel.engine.reporting import Control, Failure, Halted, Reporter, masked_error
from cloudmodel.engine.state import Recorder, Resource, State
from cloudmodel.engine.step import Events, Op, Step

__all__ = ["Failure", "Plan", "Result", "Run", "destroy", "plan_of", "preview", "refresh", "restore", "up"]


@dataclass(frozen=True)
class Run:
    """A program, its stack and its configuration.

    `config` holds full keys (`aws:region`) and texts, JSON where the value is no text; `folder` is the project's,
    whose modules are imported anew for each evaluation and where relative asset paths start. `parallel` bounds the
    provider calls at work at once.
    """

    project: str
    stack: str
    program: Callable[[], object]
    providers: ProviderFactory
    config: Mapping[str, str] = field(default_factory=dict)
    secret_keys: frozenset[str] = frozenset()
    parallel: int = 8
    folder: Path | None = None
    transport: Literal["stub", "grpc"] = "stub"
    organization: str = "organization"


@dataclass(frozen=True)
class Result:
    """What a run did or would do.

    `steps` are those that succeeded, in canonical order (topological, ties by URN; deletions last, in reverse), the
    `same` ones too. `outputs` are the stack's, secrets in wire form. `state` is what is recorded now; after a preview
    it is what the run would leave, unknown values and all. `refreshed` says that every resource was looked for in the
    cloud, and that the record of what was found is complete.
    """

    steps: tuple[Step, ...]
    outputs: Mapping[str, Any]
    failed: tuple[Failure, ...]
    error: CloudmodelError | None
    state: State
    refreshed: bool = False

    def raise_error(self) -> Result:
        """This result, if nothing failed; else its error is raised."""
        if self.error is not None:
            raise self.error
        return self


def require_replaceable(live: Callable[[str], Resource | None], urns: Iterable[str]) -> None:
    """Raise UsageError for the first of `urns` that `live` knows no entry of."""
    for urn in sorted(urns):
        if live(urn) is None:
            raise UsageError(
                "there is no such resource to replace", where=urn, hint="cloudmodel preview --json names each URN"
            )


def plan_of(steps: Iterable[Step]) -> Plan:
    """The plan that allows what `steps` (of a preview) say and nothing else."""
    ops: dict[str, list[Op]] = defaultdict(list)
    paths: dict[str, set[str]] = defaultdict(set)
    steps = tuple(steps)
    for step in steps:
        ops[step.urn].append(step.op)
        paths[step.urn].update(step.diff)
    return Plan(
        ops={urn: tuple(found) for urn, found in sorted(ops.items())},
        paths={urn: tuple(sorted(found)) for urn, found in sorted(paths.items())},
        values=intent.digests(steps),
    )


def preview(
    run: Run,
    state: State,
    events: Events,
    *,
    replace: Iterable[str] = (),
    refresh: bool = False,
    stop: threading.Event | None = None,
) -> Result:
    """What `up` would do. Makes no call that changes the cloud and writes nothing (I10)."""
    session = _Session(run, MemoryRecorder(state), events, preview=True, stop=stop)
    return session.deploy(frozenset(replace), refresh=refresh)


def up(
    run: Run,
    recorder: Recorder,
    events: Events,
    *,
    plan: Plan | None = None,
    replace: Iterable[str] = (),
    refresh: bool = False,
    stop: threading.Event | None = None,
) -> Result:
    """Bring the cloud to what the program says. With `plan`, do only what it allows (I11)."""
    session = _Session(run, recorder, events, preview=False, stop=stop, plan=plan)
    return session.deploy(frozenset(replace), refresh=refresh)


def restore(
    run: Run,
    recorder: Recorder,
    events: Events,
    earlier: State,
    *,
    plan: Plan | None = None,
    preview: bool = False,
    stop: threading.Event | None = None,
) -> Result:
    """Bring the cloud to what `earlier`, a state of this stack, holds. The program is not run."""
    kept = MemoryRecorder(recorder.state) if preview else recorder
    return _Session(run, kept, events, preview=preview, stop=stop, plan=plan).restore(earlier)


def settle(run: Run, recorder: Recorder, events: Events) -> Result:
    """Settle what an interrupted run left pending by looking at the cloud. Makes no call that changes it."""
    return _Session(run, recorder, events, preview=False, stop=None).settle()


def refresh(
    run: Run, recorder: Recorder, events: Events, *, preview: bool = False, stop: threading.Event | None = None
) -> Result:
    """Bring the state to what the cloud holds. The program is not run. With `preview` nothing is written."""
    kept = MemoryRecorder(recorder.state) if preview else recorder
    return _Session(run, kept, events, preview=preview, stop=stop).refresh()


def destroy(
    run: Run, recorder: Recorder, events: Events, *, preview: bool = False, stop: threading.Event | None = None
) -> Result:
    """Delete everything in the state, in reverse dependency order. The program is not run."""
    kept = MemoryRecorder(recorder.state) if preview else recorder
    return _Session(run, kept, events, preview=preview, stop=stop).destroy()


class _Session:
    """One run: joins the parts, keeps the first error."""

    def __init__(
        self,
        run: Run,
        recorder: Recorder,
        events: Events,
        *,
        preview: bool,
        stop: threading.Event | None,
        plan: Plan | None = None,
    ) -> None:
        if run.parallel < 1:
            raise UsageError("parallel must be at least 1")
        self._run = run
        self._control = Control(stop)
        self._masker = Masker()
        for key in run.secret_keys:
            self._masker.add(run.config.get(key))
        self._ledger = Ledger(recorder)
        for entry in self._ledger.before.resources:
            self._masker.learn(entry.inputs)
            self._masker.learn(entry.outputs)
        for operation in self._ledger.before.pending:
            self._masker.learn(operation.resource.inputs)
        self._reporter = Reporter(events, self._masker, preview=preview)
        self._refreshed = False
        self._instances = providers.Providers(run.providers)
        self._executor = Executor(
            self._ledger, self._reporter, self._control, parallel=run.parallel, preview=preview, plan=plan
        )

    def deploy(self, urns_to_replace: frozenset[str], *, refresh: bool) -> Result:
        def work() -> None:
            recovery.Recovery(self._ledger, self._reporter, self._provider_of).settle_all()
            if refresh:
                self._refresh(alone=False)
            require_replaceable(self._ledger.live, urns_to_replace)
            self._control.check()
            self._evaluate(urns_to_replace)

        return self._result(work)

    def restore(self, earlier: State) -> Result:
        def work() -> None:
            recovery.Recovery(self._ledger, self._reporter, self._provider_of).settle_all()
            deployment = self._deployment(frozenset())
            restoring.restore(deployment, earlier)
            self._control.check()
            teardown.delete_all(deployment.leftovers(), self._executor, self._provider_of, self._run.parallel)
            self._control.check()
            deployment.end(failed=False)

        return self._result(work)

    def settle(self) -> Result:
        return self._result(recovery.Recovery(self._ledger, self._reporter, self._provider_of).settle_all)

    def refresh(self) -> Result:
        def work() -> None:
            recovery.Recovery(self._ledger, self._reporter, self._provider_of).settle_all()
            self._refresh(alone=True)

        return self._result(work)

    def destroy(self) -> Result:
        def work() -> None:
            recovery.Recovery(self._ledger, self._reporter, self._provider_of).settle_all()
            teardown.delete_all(self._ledger.entries(), self._executor, self._provider_of, self._run.parallel)

        return self._result(work)

    def _refresh(self, *, alone: bool) -> None:
        refreshing.refresh_all(self._executor, self._provider_of, self._run.parallel, alone=alone)
        self._refreshed = True

    def _provider_of(self, entry: Resource) -> Any:
        reference = urns.provider_urn(entry.provider)
        record = self._ledger.live(reference)
        return self._instances.of(entry, {reference: record} if record else {})

    def _deployment(self, urns_to_replace: frozenset[str]) -> Deployment:
        run = self._run
        settings = Settings(
            project=run.project,
            stack=run.stack,
            config=run.config,
            secret_keys=run.secret_keys,
            folder=run.folder or Path.cwd(),
            replace=urns_to_replace,
        )
        return Deployment(settings, self._executor, self._instances)

    def _evaluate(self, urns_to_replace: frozenset[str]) -> None:
        # Imported here: the rest of the engine (refresh, destroy) works without loading the SDK.
        from cloudmodel.engine.grpc_server import serving
        from cloudmodel.engine.monitor import EngineLog, InProcess, Monitor

        run = self._run
        deployment = self._deployment(urns_to_replace)
        finished = threading.Event()

        def finish() -> None:
            finished.set()
            self._control.check()
            teardown.delete_all(deployment.leftovers(), self._executor, self._provider_of, run.parallel)

        monitor = Monitor(
            deployment,
            self._reporter,
            self._control,
            organization=run.organization,
            parallel=run.parallel,
            finish=finish,
        )
        engine = EngineLog(self._reporter)
        with ExitStack() as stack:
            address: Any = None
            if run.transport == "grpc":
                address = stack.enter_context(serving(monitor, engine, max(MIN_THREADS, 4 * run.parallel) + 8))
            stack.enter_context(said(lambda line: self._reporter.say("info", line)))
            raised = evaluate(
                Evaluation(
                    program=run.program,
                    monitor=address or InProcess(monitor),
                    engine=address or engine,
                    project=run.project,
                    stack=run.stack,
                    organization=run.organization,
                    config=run.config,
                    secret_keys=run.secret_keys,
                    preview=self._executor.preview,
                    parallel=run.parallel,
                    folder=run.folder,
                ),
                self._control.stop.set,
            )
        if monitor.crash is not None:
            raise monitor.crash
        try:
            if raised is not None:
                self._raised(raised)
            elif not finished.is_set():
                finish()
        finally:
            deployment.end(failed=self._control.closed or self._control.stop.is_set())

    def _raised(self, raised: Raised) -> None:
        """A program that raised has failed, unless it only met the end of the monitor."""
        if self._control.closed or self._control.stop.is_set():
            return
        if isinstance(raised.error, CloudmodelError):
            self._control.close(raised.error)
            return
        self._reporter.say("error", raised.trace)
        kind = type(raised.error).__name__
        message = self._masker.mask(str(raised.error))
        self._control.close(
            CloudmodelError(
                f"the program raised {kind}: {message}" if raised.by_program else message,
                where=str(self._run.folder) if self._run.folder else None,
                hint="mend the program; what was already made is recorded",
            )
        )

    def _result(self, work: Callable[[], None]) -> Result:
        try:
            work()
        except Halted:
            pass
        except CloudmodelError as error:
            self._control.close(error)
        verdict = self._reporter.verdict(self._control)
        state = self._ledger.state
        state = replace(state, resources=ordered(state.resources))
        stack = next((entry for entry in state.resources if entry.type == urns.STACK_TYPE and not entry.delete), None)
        return Result(
            steps=self._reporter.steps((*self._ledger.before.resources, *self._ledger.entries())),
            outputs=stack.outputs if stack else {},
            failed=tuple(sorted(self._reporter.failures, key=lambda failure: failure.step.urn)),
            error=masked_error(verdict, self._masker) if verdict else None,
            state=state,
            refreshed=self._refreshed,
        )
