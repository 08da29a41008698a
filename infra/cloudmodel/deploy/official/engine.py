"""The official engine on a project's stack: Pulumi's own command line through the Automation API.

The program runs in this process, as an inline program. A stack whose target is `local` talks to the local AWS through
our provider (`plugin`); any other uses Pulumi's own aws plugin. Our lock is held around every run that changes
something, besides Pulumi's own.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pulumi.automation import CommandError
from pulumi.automation.errors import StackNotFoundError

from cloudmodel.core.errors import StateCorrupt
from cloudmodel.core.files import private_folder
from cloudmodel.deploy import account, sealed
from cloudmodel.deploy.binding import Binding
from cloudmodel.deploy.engines import OFFICIAL, Drift, Options, Update
from cloudmodel.deploy.landed import Proof
from cloudmodel.deploy.late import tell_late
from cloudmodel.deploy.official import cloud_secrets, failures, past, rollback, workspace
from cloudmodel.deploy.official.bucket import SCHEME, BackendBucket, BucketLock, BucketPlace
from cloudmodel.deploy.official.cli import require
from cloudmodel.deploy.official.command import Command
from cloudmodel.deploy.official.session import Program, Session
from cloudmodel.deploy.official.stack import OpenStack, Workspace
from cloudmodel.deploy.official.unfinished import FilePlace, Place, Unfinished
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.deploy.rebuild import Rebuilt, rebuilt
from cloudmodel.deploy.rollback import Calls, Goal, chosen, prepared, revision_of
from cloudmodel.deploy.surroundings import (
    RememberedCloud,
    begun,
    binding,
    cloud_at,
    expected,
    importable,
    require_kept,
    script,
    shown,
)
from cloudmodel.engine import checkpoint, integrity
from cloudmodel.engine.lock import Owner, StackLock
from cloudmodel.engine.run import Plan, Result, plan_of
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Diagnostic, Event, Events
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.localaws import server as localaws
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.settings.model import Local, Project, StackSettings

PARALLEL = 8
INTERRUPTED = "a run of this stack was interrupted: what it had done by then is taken into the state"


class OfficialEngine:
    """Implements `engines.Engine`. Raises UsageError where Pulumi's command line is missing or too old."""

    name = OFFICIAL

    def __init__(self, project: Project, settings: StackSettings, stack: str) -> None:
        self._project = project
        self._settings = settings
        self._name = stack
        self._home = project.folder / workspace.PRIVATE
        self._command = Command(require())
        self._backend = workspace.backend(project, settings)
        self._secrets = Secrets(passphrase_source(self._home / "passphrase"))
        self._lock = self._lock_of(self._backend)
        self._unfinished = self._unfinished_of(self._backend)
        self._cloud = RememberedCloud(self._home / "official" / "work" / stack)
        self._program = Program(script(project.folder), project.folder)
        self._previewed: tuple[Binding, Plan] | None = None
        self._stopped = threading.Event()
        self._goal: Goal | None = None

    def stop(self) -> None:
        self._stopped.set()
        self._command.stop()

    def preview(self, options: Options, events: Events) -> Outcome:
        with self._session(options, events, create=False) as session:
            ordered = self._sealed(session, options.plan) if options.plan else None
            result = session.preview(session.stack.preview, **_flags(session, options))
            outcome = self._outcome(session, result, options)
            plan = plan_of(result.steps)
            if ordered:
                ordered.require_steps(plan)
            self._previewed = (session.binding, plan)
            return expected(outcome, options)

    def up(self, options: Options, events: Events) -> Outcome:
        require_kept(self._project, self._settings)
        with self._locked("up"), self._session(options, events) as session:
            self._require_plan(session, options)
            if session.cloud and not session.state.resources:
                self._cloud.remember(session.cloud.instance_id)
            result = session.change(session.stack.up, refreshed=session.refresh, **_flags(session, options))
            proof = Proof(self._project, self._settings, session.cloud)
            proof.tell_rolled_back(result)
            outcome = self._done(session, result, options)
            unseen = proof.require(result.state)
            return replace(outcome, warnings=outcome.warnings + unseen)

    def refresh(self, options: Options, events: Events) -> Outcome:
        with self._locked("refresh"), self._session(options, events) as session:
            result = session.change(session.stack.refresh, refreshed=True, **_common(options))
            return expected(self._done(session, result, options), options)

    def preview_destroy(self, options: Options, events: Events) -> Outcome:
        with self._session(options, events, create=False) as session:
            result = session.preview(session.stack.preview_destroy, **_common(options))
            return self._outcome(session, result, options)

    def destroy(self, options: Options, events: Events) -> Outcome:
        with self._locked("destroy"), self._session(options, events) as session:
            flags = _common(options) | {"refresh": session.refresh}
            result = session.change(session.stack.destroy, refreshed=session.refresh, **flags)
            return self._done(session, result, options)

    def preview_rollback(self, to: str | None, options: Options, events: Events) -> Outcome:
        earlier = past.states(self._backend, self._project.pulumi_name, self._name, self._secrets)
        served = {version: revision_of(each) for version, each in enumerate(earlier, start=1) if revision_of(each)}
        with self._session(options, events, create=False) as session:
            version = chosen(to, served, revision_of(session.state), self._name)
            live = Proof(self._project, self._settings, session.cloud).instances(session.state)
            goal = prepared(earlier[version - 1], self._project, self._settings, live)
            result = rollback.preview(session, goal, self._stopped, parallel=options.parallel or PARALLEL)
            outcome = self._outcome(session, result, options)
            self._goal = Goal(version, goal, plan_of(result.steps))
            return outcome

    def rollback(self, options: Options, events: Events) -> Outcome:
        assert self._goal is not None, "nothing is carried out that was not planned"
        goal, calls = self._goal, Calls(events)
        note = f"{past.ROLLBACK} {goal.version}{': ' if options.message else ''}{options.message}"
        with self._locked("rollback"), self._session(options, events) as session:
            with self._explaining():
                result = rollback.carry_out(
                    session, goal, calls, self._stopped, self._unfinished, self._secrets,
                    parallel=options.parallel or PARALLEL,
                )  # fmt: skip
            proof = Proof(self._project, self._settings, session.cloud)
            proof.tell_rolled_back(result)
            with self._explaining():
                result = rollback.settle(session, result, note)
            outcome = self._done(session, result, options)
            unseen = proof.require(result.state)
            return replace(outcome, warnings=outcome.warnings + unseen, calls=tuple(calls.made))

    def drift(self, options: Options, events: Events) -> Drift:
        with self._session(options, events, create=False) as session:
            result = session.preview(session.stack.preview_refresh, **_common(options))
            outcome = self._outcome(session, result, options)
            serving, unseen = Proof(self._project, self._settings, session.cloud).serving(session.state)
            return Drift(outcome, tuple(serving), tuple(unseen))

    def outputs(self, *, show_secrets: bool = False) -> Mapping[str, Any]:
        entries = self._recorded().resources
        stack = next((entry for entry in entries if entry.type == STACK_TYPE), None)
        return shown(stack.outputs if stack else {}, show_secrets=show_secrets)

    def history(self) -> tuple[Update, ...]:
        with self._explaining():
            try:
                found = self._stack().history(show_secrets=False)
            except StackNotFoundError:
                found = []
        return past.updates(found)

    def holder(self) -> Owner | None:
        return self._lock.owner()

    def cancel(self) -> str | None:
        holder = self._lock.owner()
        ours = self._lock.unlock(holder.id).describe() if holder else None
        with self._explaining():
            theirs = workspace.pulumis_holder(self._backend, self._project.pulumi_name, self._name)
            try:
                if theirs:
                    self._stack().cancel()
            except StackNotFoundError:
                return ours
        return ours or (theirs and f"Pulumi's own lock of {theirs}")

    def export_state(self, *, show_secrets: bool = False) -> dict[str, Any]:
        with self._explaining():
            try:
                return self._stack().export(show_secrets=show_secrets)
            except StackNotFoundError:
                return {"version": checkpoint.VERSION, "deployment": {"resources": []}}

    def import_state(self, document: Mapping[str, Any]) -> None:
        where = "the document to import"
        # What a cloud's key sealed is Pulumi's to open: only the shape is looked at here.
        readable = cloud_secrets.without_sealed(document)
        state = checkpoint.read(readable, self._project.pulumi_name, self._name, self._secrets, where).state
        if violations := integrity.check(state):
            raise StateCorrupt(
                f"the state is not sound: {violations[0]}",
                where=where,
                hint="import what `cloudmodel state export` wrote; nothing was changed",
                details={"violations": list(violations)},
            )
        stack = self._stack()
        deployment = checkpoint.export(state, self._secrets) if "checkpoint" in readable else document
        with self._locked("import"), self._explaining():
            self._cloud.forget()
            try:
                stack.take(deployment)
            except StackNotFoundError:
                stack.workspace.create_stack(self._name)
                stack.take(deployment)

    def rebuild_state(self, options: Options, events: Events) -> Rebuilt:
        with self._locked("rebuild"), self._session(options, events) as session, self._explaining():
            program, folder = script(self._project.folder), self._project.folder
            run = replace(
                rollback.run_of(session.stack, session.project, session.cloud, parallel=options.parallel or PARALLEL),
                program=program, secret_keys=self._settings.secret_keys, folder=folder,
            )  # fmt: skip
            url = session.cloud.endpoint_url if session.cloud else None
            found = rebuilt(run, url, State(session.project, self._name), session.events, self._stopped)
            rollback.put(session.stack, found.state, self._secrets)
            # Pulumi's own provider reads everything once more, and the rebuild is in its history.
            result = session.change(session.stack.refresh, refreshed=True, message="rebuild")
            self._done(session, result, options)
            return found

    def verify_state(self) -> tuple[str, ...]:
        return integrity.check(self._recorded())

    def pending(self) -> tuple[str, ...]:
        return begun(self._recorded())

    def unlock(self, lock_id: str) -> None:
        self._lock.unlock(lock_id)

    def remove(self, *, force: bool = False) -> None:
        with self._locked("remove"), self._explaining():
            with contextlib.suppress(StackNotFoundError):
                self._stack().workspace.remove_stack(self._name, force=force, preserve_config=True)
            shutil.rmtree(self._home / "official" / "work" / self._name, ignore_errors=True)

    def _lock_of(self, backend: str) -> StackLock | BucketLock:
        """Our lock is where the state is: beside it in the bucket, else in the project's private folder."""
        if backend.startswith(SCHEME):
            return BucketLock(BackendBucket(backend), self._project.pulumi_name, self._name)
        return StackLock(self._home / "stacks" / self._name, self._name)

    def _unfinished_of(self, backend: str) -> Unfinished:
        """It lies beside the lock."""
        place: Place = FilePlace(self._home / "stacks" / self._name / "rollback.json")
        if backend.startswith(SCHEME):
            path = f".cloudmodel/rollbacks/{self._project.pulumi_name}/{self._name}.json"
            place = BucketPlace(BackendBucket(backend), path)
        return Unfinished(place, self._project.pulumi_name, self._name, self._secrets)

    @contextlib.contextmanager
    def _locked(self, verb: str) -> Iterator[None]:
        for folder in (self._home, self._home / "stacks"):
            private_folder(folder)
        self._lock.acquire(verb)
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """What the command line says when it fails becomes one of our errors."""
        try:
            yield
        except CommandError as failed:
            text = str(failed)
            raise failures.known(text, self._name) or failures.unknown(text, (), self._name) from None

    @contextlib.contextmanager
    def _session(self, options: Options, events: Events, *, create: bool = True) -> Iterator[Session]:
        """A run's surroundings. Without `create` a stack that has no state yet gets one that is thrown away (I10)."""
        started = time.monotonic()
        warnings: list[str] = []

        def listen(event: Event) -> None:
            if isinstance(event, Diagnostic) and event.severity == "warning":
                warnings.append(event.message)
            events(event)

        keys_are_sealed = bool(account.KEYS & self._settings.secret_keys)
        actor = "" if keys_are_sealed else self._actor(self._settings.raw)
        with contextlib.ExitStack() as exits:
            cloud = self._local_cloud()
            url = cloud.endpoint_url if cloud else ""
            with self._explaining():
                stack = self._stack(url)
                try:
                    state = stack.state(self._project.pulumi_name)
                except StackNotFoundError:
                    if not create:
                        empty = exits.enter_context(tempfile.TemporaryDirectory(prefix="cloudmodel-"))
                        stack = self._stack(url, backend=f"file://{empty}")
                    stack.workspace.create_stack(self._name)
                    state = State(self._project.pulumi_name, self._name)
                left = self._unfinished.found(state)
                if left is None and cloud and state.pending:  # Pulumi would try again, and fail where it was made
                    left = state
                if left:
                    listen(Diagnostic("warning", INTERRUPTED))
                    state = rollback.recovered(stack, left, self._project.pulumi_name, cloud, listen)
                    if not create:
                        empty = exits.enter_context(tempfile.TemporaryDirectory(prefix="cloudmodel-"))
                        stack = self._stack(url, backend=f"file://{empty}")
                        stack.workspace.create_stack(self._name)
                    rollback.put(stack, state, self._secrets)
                if create:
                    self._unfinished.forget()
                if advice := cloud_secrets.key_to_keep(self._settings, Path(stack.workspace.work_dir)):
                    listen(Diagnostic("warning", advice))
                secret_config = stack.get_all_config() if self._settings.secret_keys else {}
            if keys_are_sealed:
                opened = {key: value.value for key, value in secret_config.items()}
                actor = self._actor({**self._settings.raw, **opened})
            refresh = options.refresh
            if cloud and (doubt := self._cloud.doubt(cloud.instance_id, state)):
                listen(doubt)
                refresh = True
            exits.enter_context(contextlib.chdir(self._project.folder))
            exits.enter_context(importable(self._project.folder))
            exits.enter_context(cloud_at(url))
            made_from = binding(
                self._project, self._settings, self._name, self.name, state,
                cloud=cloud.instance_id if cloud else "", account=actor,
            )  # fmt: skip
            session = Session(
                stack=stack, project=self._project.pulumi_name, program=self._program, command=self._command,
                cloud=cloud, state=state, binding=made_from, refresh=refresh, events=listen, warnings=warnings,
                started=started,
            )  # fmt: skip
            for entry in state.resources:
                session.masker.learn(entry.inputs)
                session.masker.learn(entry.outputs)
            for value in secret_config.values():
                if value.secret:
                    session.masker.add(value.value)
            yield session

    def _actor(self, config: Mapping[str, str]) -> str:
        """The account that the run acts in. Raises CredentialsMissing for one that the stack may not touch."""
        if self._settings.target != "local":
            return account.identify(self._settings, config)
        account.require(self._settings, ACCOUNT)
        return ACCOUNT

    def _local_cloud(self) -> Running | None:
        if self._settings.target != "local":
            return None
        local = self._settings.local or Local()
        running = localaws.start(
            self._home / "local", region=self._settings.region, port=local.port, max_workers=local.max_workers
        )
        return replace(running, region=self._settings.region)

    def _stack(self, url: str = "", *, backend: str = "") -> OpenStack:
        """The stack, whether there is one or not: what it is asked raises StackNotFoundError where there is none."""
        folder = workspace.prepare(self._project, self._settings, self._name)
        environment = workspace.environment(self._project, self._settings, url)
        if backend:
            environment[workspace.BACKEND] = backend
        opened = Workspace(
            work_dir=str(folder),
            program=self._program,
            env_vars=environment,
            secrets_provider=self._settings.secrets_provider,
            pulumi_command=self._command,
        )
        return OpenStack(self._name, opened)

    def _recorded(self) -> State:
        with self._explaining():
            try:
                return self._stack().state(self._project.pulumi_name)
            except StackNotFoundError:
                return State(self._project.pulumi_name, self._name)

    def _require_plan(self, session: Session, options: Options) -> None:
        """Raise StalePlan unless this `up` will do what was planned: the sealed plan's steps, found once more now."""
        if options.plan:
            plan = self._sealed(session, options.plan)
            again = session.preview(session.stack.preview, **_flags(session, options)).raise_error()
            plan.require_steps(plan_of(again.steps))
        elif self._previewed:
            self._previewed[0].require(session.binding, where=f"stack {self._name}")

    def _sealed(self, session: Session, file: Path) -> sealed.SealedPlan:
        plan = sealed.load(file)
        plan.require(session.binding)
        return plan

    def _done(self, session: Session, result: Result, options: Options) -> Outcome:
        if session.cloud and result.refreshed:
            self._cloud.remember(session.cloud.instance_id)
        return self._outcome(session, result, options)

    def _outcome(self, session: Session, result: Result, options: Options) -> Outcome:
        account.tell_expired(result, self._name)
        tell_late(result, self._name)
        result.raise_error()
        return Outcome(
            stack=self._name, target=self._settings.target, engine=self.name, region=self._settings.region,
            account=session.binding.account, steps=result.steps,
            outputs=shown(result.outputs, show_secrets=options.show_secrets),
            warnings=tuple(session.warnings), duration_s=time.monotonic() - session.started, binding=session.binding,
        )  # fmt: skip


def _common(options: Options) -> dict[str, Any]:
    return {"parallel": options.parallel, "message": options.message}


def _flags(session: Session, options: Options) -> dict[str, Any]:
    return _common(options) | {"refresh": session.refresh, "replace": list(options.replace)}
