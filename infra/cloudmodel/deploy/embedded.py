"""The embedded engine on a project's stack: joins the program, the provider, the local AWS and the stack's folder."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import CredentialsMissing, StateCorrupt, Unsupported
from cloudmodel.core.files import PRIVATE
from cloudmodel.core.resource import Provider
from cloudmodel.deploy import account, rebuild, rollback, sealed
from cloudmodel.deploy.binding import Binding
from cloudmodel.deploy.engines import EMBEDDED, Drift, Options, Update
from cloudmodel.deploy.landed import Proof
from cloudmodel.deploy.late import tell_late
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.deploy.previewed import Previewed, stands
from cloudmodel.deploy.surroundings import (
    RememberedCloud,
    begun,
    binding,
    cloud_at,
    environment,
    expected,
    importable,
    require_kept,
    script,
    shown,
)
from cloudmodel.engine import run as engine
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.holder import Owner
from cloudmodel.engine.journal import Journal
from cloudmodel.engine.normal import canonical
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Diagnostic, Event, Events
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.localaws import server as localaws
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.provider.cloud import Heard
from cloudmodel.provider.provider import AwsProvider
from cloudmodel.settings.model import Local, Project, StackSettings

PARALLEL = 8
OFFLINE = f"planned without credentials, in the local AWS's account: names that hold {ACCOUNT} hold yours on AWS"


@dataclass
class _Session:
    """One run against a local AWS that answers."""

    cloud: Running
    run: engine.Run
    binding: Binding | None
    refresh: bool
    events: Events
    warnings: list[str]
    started: float


class EmbeddedEngine:
    """Implements `engines.Engine` for stacks whose target is `local`, and previews any stack without credentials."""

    name = EMBEDDED

    def __init__(self, project: Project, settings: StackSettings, stack: str) -> None:
        home = project.folder / PRIVATE
        self._project = project
        self._settings = settings
        self._stack = stack
        self._home = home
        self._secrets = Secrets(passphrase_source(home / "passphrase"), settings.encryption_salt or "")
        self._folder = StackFolder(home, project.pulumi_name, stack, self._secrets)
        self._cloud = RememberedCloud(self._folder.folder)
        self._stopped = threading.Event()
        self._previewed: Previewed | None = None
        self._goal: rollback.Goal | None = None

    def stop(self) -> None:
        self._stopped.set()

    def preview(self, options: Options, events: Events) -> Outcome:
        state = self._folder.load()
        with self._session(state, options, events) as session:
            if not self._offline:
                Proof(self._project, self._settings, session.cloud).require_known(state, self.name)
            ordered = self._sealed(session, options.plan) if options.plan else None
            result = engine.preview(
                session.run, state, session.events, replace=options.replace, refresh=session.refresh, stop=self._stopped
            )
            outcome = self._outcome(session, result, options)
            plan = engine.plan_of(result.steps)
            if ordered:
                ordered.require_steps(plan)
            if session.binding:
                idle = not session.refresh and stands(result, state, self._project.folder)
                self._previewed = Previewed(session.binding, plan, tuple(session.warnings), result if idle else None)
            return expected(outcome, options)

    def up(self, options: Options, events: Events) -> Outcome:
        require_kept(self._project, self._settings)
        with self._recorded("up", options) as journal, self._session(journal.state, options, events) as session:
            proof = Proof(self._project, self._settings, session.cloud)
            proof.require_known(journal.state, self.name)
            plan = self._plan(session, journal, options)
            if not journal.state.resources:
                self._cloud.remember(session.cloud.instance_id)
            result = self._standing(session, options) or engine.up(
                session.run, journal, session.events,
                plan=plan, replace=options.replace, refresh=session.refresh, stop=self._stopped,
            )  # fmt: skip
            proof.tell_rolled_back(result)
            outcome = self._done(session, journal, result, options)
            unseen = proof.require(result.state)
            return replace(outcome, warnings=outcome.warnings + unseen)

    def refresh(self, options: Options, events: Events) -> Outcome:
        with (
            self._recorded("refresh", options) as journal,
            self._session(journal.state, options, events, bound=False) as session,
        ):
            result = engine.refresh(session.run, journal, session.events, stop=self._stopped)
            return expected(self._done(session, journal, result, options), options)

    def preview_destroy(self, options: Options, events: Events) -> Outcome:
        recorder = MemoryRecorder(self._folder.load())
        with self._session(recorder.state, options, events, bound=False) as session:
            result = engine.destroy(session.run, recorder, session.events, preview=True, stop=self._stopped)
            return self._outcome(session, result, options)

    def destroy(self, options: Options, events: Events) -> Outcome:
        with (
            self._recorded("destroy", options) as journal,
            self._session(journal.state, options, events, bound=False) as session,
        ):
            if session.refresh:
                engine.refresh(session.run, journal, session.events, stop=self._stopped).raise_error()
            result = engine.destroy(session.run, journal, session.events, stop=self._stopped)
            return self._done(session, journal, result, options)

    def preview_rollback(self, to: str | None, options: Options, events: Events) -> Outcome:
        state, states = self._folder.load(), self._readable_revisions()
        served = {version: rollback.revision_of(each) for version, each in states.items()}
        version = rollback.chosen(to, served, rollback.revision_of(state), self._stack)
        with self._session(state, options, events, bound=False) as session:
            live = Proof(self._project, self._settings, session.cloud).instances(state)
            earlier = rollback.prepared(states[version], self._project, self._settings, live)
            result = engine.restore(
                session.run, MemoryRecorder(state), session.events, earlier, preview=True, stop=self._stopped
            )
            outcome = self._outcome(session, result, options)
            self._goal = rollback.Goal(version, earlier, engine.plan_of(result.steps))
            return outcome

    def _readable_revisions(self) -> dict[int, State]:
        """By their version. What an older passphrase sealed, or is damaged, is no way back and in nobody's way."""
        kept, states = self._folder.revisions, {}
        for version in kept.versions():
            with contextlib.suppress(CredentialsMissing, StateCorrupt):
                states[version] = kept.read(version, self._project.pulumi_name, self._stack)
        return states

    def rollback(self, options: Options, events: Events) -> Outcome:
        assert self._goal is not None, "nothing is carried out that was not planned"
        goal = self._goal
        told = replace(options, message=options.message or f"rollback to {goal.version}")
        calls = rollback.Calls(events)
        with (
            self._recorded("rollback", told) as journal,
            self._session(journal.state, told, events, bound=False, heard=calls.heard) as session,
        ):
            result = engine.restore(
                session.run, journal, session.events, goal.earlier, plan=goal.plan, stop=self._stopped
            )
            proof = Proof(self._project, self._settings, session.cloud)
            proof.tell_rolled_back(result)
            outcome = self._done(session, journal, result, told)
            unseen = proof.require(result.state)
            return replace(outcome, warnings=outcome.warnings + unseen, calls=tuple(calls.made))

    def drift(self, options: Options, events: Events) -> Drift:
        recorder = MemoryRecorder(self._folder.load())
        with self._session(recorder.state, options, events, bound=False) as session:
            result = engine.refresh(session.run, recorder, session.events, preview=True, stop=self._stopped)
            outcome = self._outcome(session, result, options)
            serving, unseen = Proof(self._project, self._settings, session.cloud).serving(recorder.state)
            return Drift(outcome, tuple(serving), tuple(unseen))

    def outputs(self, *, show_secrets: bool = False) -> Mapping[str, Any]:
        state = self._folder.load()
        stack = next((entry for entry in state.resources if entry.type == STACK_TYPE), None)
        return shown(stack.outputs if stack else {}, show_secrets=show_secrets)

    def history(self) -> tuple[Update, ...]:
        entries = [asdict(entry) for entry in self._folder.history()]
        return tuple(Update(**{key: value for key, value in entry.items() if key != "lock"}) for entry in entries)

    def holder(self) -> Owner | None:
        return self._folder.holder()

    def cancel(self) -> str | None:
        holder = self._folder.holder()
        return self._folder.unlock(holder.id).describe() if holder else None

    def export_state(self, *, show_secrets: bool = False) -> dict[str, Any]:
        return self._folder.export(show_secrets=show_secrets)

    def import_state(self, document: Mapping[str, Any]) -> None:
        self._folder.import_(document)
        self._cloud.forget()

    def rebuild_state(self, options: Options, events: Events) -> rebuild.Rebuilt:
        self._refuse_offline("rebuild")
        with self._folder.replacing("rebuild", environment=environment(self._project.folder)) as put:
            empty = State(self._project.pulumi_name, self._stack)
            with self._session(empty, options, events, bound=False) as session:
                url = session.cloud.endpoint_url
                found = rebuild.rebuilt(session.run, url, empty, session.events, self._stopped)
                put(canonical(found.state))
                self._cloud.remember(session.cloud.instance_id)
            return found

    def verify_state(self) -> tuple[str, ...]:
        return self._folder.verify()

    def pending(self) -> tuple[str, ...]:
        return begun(self._folder.load())

    def unlock(self, lock_id: str) -> None:
        self._folder.unlock(lock_id)

    def remove(self, *, force: bool = False) -> None:
        self._folder.remove(force=force)

    @contextlib.contextmanager
    def _recorded(self, verb: str, options: Options) -> Iterator[Journal]:
        self._refuse_offline(verb)
        maker = environment(self._project.folder)
        with self._folder.open(verb, message=options.message, environment=maker) as journal:
            yield journal

    def _refuse_offline(self, verb: str) -> None:
        if self._offline:
            raise Unsupported(
                f"an offline plan cannot be carried out: {verb} needs the official engine",
                where=f"stack {self._stack}, target {self._settings.target}",
            )

    @contextlib.contextmanager
    def _session(
        self, state: State, options: Options, events: Events, *, bound: bool = True, heard: Heard | None = None
    ) -> Iterator[_Session]:
        """A run's surroundings; the program sees the project's folder as the current one, as under Pulumi's CLI.

        `bound` is false for a run that needs neither program nor bundle of today.
        """
        started = time.monotonic()
        self._refuse_a_clouds_key()
        if not self._offline:
            account.require(self._settings, ACCOUNT)
        local, home = self._settings.local or Local(), self._home / "local"
        only_for_this_plan = self._offline and localaws.status(home) is None
        running = localaws.start(home, region=self._settings.region, port=local.port, max_workers=local.max_workers)
        # One local AWS serves the stacks of every region; `running.region` is that of the stack that started it.
        cloud = replace(running, region=self._settings.region)
        doubt = self._cloud.doubt(cloud.instance_id, state)
        warnings: list[str] = []

        def listen(event: Event) -> None:
            if isinstance(event, Diagnostic) and event.severity == "warning":
                warnings.append(event.message)
            events(event)

        def provider(package: str) -> Provider:
            if package != "aws":
                raise Unsupported(f"the embedded engine has no provider for the package {package!r}")
            return AwsProvider(endpoint_url=cloud.endpoint_url, heard=heard)

        if doubt:
            listen(doubt)
        if self._offline:
            listen(Diagnostic("warning", OFFLINE))
        run = engine.Run(
            project=self._project.pulumi_name, stack=self._stack, program=script(self._project.folder),
            providers=provider, config=self._config(), secret_keys=self._settings.secret_keys,
            parallel=options.parallel or PARALLEL, folder=self._project.folder,
        )  # fmt: skip
        try:
            folder = self._project.folder
            with contextlib.chdir(folder), importable(folder), cloud_at(cloud.endpoint_url):
                made_from = self._binding(state, cloud.instance_id) if bound else None
                yield _Session(cloud, run, made_from, options.refresh or doubt is not None, listen, warnings, started)
        finally:
            if only_for_this_plan:
                localaws.stop(home)

    def _binding(self, state: State, cloud: str) -> Binding:
        account = "" if self._offline else ACCOUNT
        return binding(self._project, self._settings, self._stack, self.name, state, cloud=cloud, account=account)

    def _refuse_a_clouds_key(self) -> None:
        """Secrets that a cloud's key seals need the official engine; a plan without secrets does not ask for it."""
        provider = self._settings.secrets_provider or ""
        if "://" in provider and (not self._offline or self._settings.secret_keys):
            raise Unsupported(
                f"the embedded engine seals secrets with a passphrase only, not with {provider.partition('://')[0]}",
                where=f"{self._settings.path.name}: secretsprovider",
                hint=f"add --engine official, or take the line out of {self._settings.path.name}",
            )

    @property
    def _offline(self) -> bool:
        """Whether a stack of a real account is planned, without credentials."""
        return self._settings.target != "local"

    def _config(self) -> dict[str, str]:
        secret = self._settings.secret_keys
        return {
            key: self._opened(value) if key in secret else value
            for key, value in self._settings.raw.items()
            if not (self._offline and key == "aws:allowedAccountIds")  # the plan is made in the local AWS's account
        }

    def _opened(self, value: str) -> str:
        """A secret of the settings file: sealed text, or JSON with sealed texts in it."""
        salt = self._settings.encryption_salt or ""
        if value.startswith(("{", "[")):
            return json.dumps(self._secrets.config(json.loads(value), salt))
        return self._secrets.decrypt(value, salt)

    def _plan(self, session: _Session, journal: Journal, options: Options) -> engine.Plan | None:
        """What this `up` may do: the sealed plan's steps, found once more now, or those previewed a moment ago."""
        if options.plan:
            plan = self._sealed(session, options.plan)
            again = engine.preview(
                session.run, journal.state, _unheard, replace=options.replace, refresh=session.refresh,
                stop=self._stopped,
            )  # fmt: skip
            plan.require_steps(engine.plan_of(again.raise_error().steps))
            return plan.steps
        if self._previewed and session.binding:
            self._previewed.binding.require(session.binding, where=f"stack {self._stack}")
            return self._previewed.plan
        return None

    def _standing(self, session: _Session, options: Options) -> engine.Result | None:
        """The result of the preview a moment ago, where it found nothing to do (I9)."""
        previewed = self._previewed
        if options.plan or options.replace or session.refresh or previewed is None or previewed.stands is None:
            return None
        session.warnings.extend(previewed.warnings)
        return previewed.stands

    def _sealed(self, session: _Session, file: Path) -> sealed.SealedPlan:
        assert session.binding is not None, "a plan is carried out with its program"
        return sealed.opened(file, session.binding)

    def _done(self, session: _Session, journal: Journal, result: engine.Result, options: Options) -> Outcome:
        """The outcome of a run that changed things, noted in the stack's folder. Raises the run's own error."""
        if result.refreshed:
            self._cloud.remember(session.cloud.instance_id)
        outcome = self._outcome(session, result, options)
        journal.summary = dict(outcome.summary)
        return outcome

    def _outcome(self, session: _Session, result: engine.Result, options: Options) -> Outcome:
        """The result in the verbs' words. Raises the run's own error."""
        account.tell_expired(result, self._stack)
        tell_late(result, self._stack)
        result.raise_error()
        return Outcome(
            stack=self._stack, target=self._settings.target, engine=self.name, region=self._settings.region,
            account=ACCOUNT if self._settings.target == "local" else None, steps=result.steps,
            outputs=shown(result.outputs, show_secrets=options.show_secrets),
            warnings=tuple(session.warnings), duration_s=time.monotonic() - session.started, binding=session.binding,
        )  # fmt: skip


def _unheard(_: Event) -> None:
    """For a run whose steps are told by another."""
