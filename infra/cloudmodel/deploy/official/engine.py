"""The official engine on a project's stack: Pulumi's own command line through the Automation API.

The program runs in this process, as an inline program. A stack whose target is `local` talks to the local AWS through
our provider (`plugin`); any other uses Pulumi's own aws plugin. Our lock is held around every run that changes
something, besides Pulumi's own.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pulumi.automation import CommandError
from pulumi.automation.errors import StackNotFoundError

from cloudmodel.core.errors import StateCorrupt, UsageError
from cloudmodel.deploy import account, sealed
from cloudmodel.deploy.binding import Binding
from cloudmodel.deploy.engines import OFFICIAL, Drift, Options, Update
from cloudmodel.deploy.landed import Proof
from cloudmodel.deploy.late import tell_late
from cloudmodel.deploy.official import cloud_secrets, interrupted, past, rollback, workspace
from cloudmodel.deploy.official.bucket import PulumisHolder
from cloudmodel.deploy.official.session import Session
from cloudmodel.deploy.official.site import Site
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.deploy.rebuild import Rebuilt, rebuilt
from cloudmodel.deploy.rollback import Calls, Goal, chosen, prepared, revision_of
from cloudmodel.deploy.surroundings import begun, binding, environment, expected, require_kept, script, shown
from cloudmodel.engine import checkpoint, integrity
from cloudmodel.engine.holder import Owner
from cloudmodel.engine.run import Result, plan_of, require_replaceable
from cloudmodel.engine.step import Events
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.settings.model import Project, StackSettings

PARALLEL = 8


class OfficialEngine:
    """Implements `engines.Engine`. Raises UsageError where Pulumi's command line is missing or too old."""

    name = OFFICIAL

    def __init__(self, project: Project, settings: StackSettings, stack: str) -> None:
        self._project = project
        self._settings = settings
        self._name = stack
        self._site = Site(project, settings, stack, self.stop)
        self._previewed: Binding | None = None
        self._stopped = threading.Event()
        self._goal: Goal | None = None

    def stop(self) -> None:
        self._stopped.set()
        self._site.command.stop()

    def preview(self, options: Options, events: Events) -> Outcome:
        with self._site.opened(options, events, create=False) as session:
            self._proof(session).require_known(session.state, self.name)
            bound = self._binding(session)
            ordered = sealed.opened(options.plan, bound) if options.plan else None
            result = session.preview(session.stack.preview, **_flags(session, options))
            outcome = replace(self._outcome(session, result, options), binding=bound)
            plan = plan_of(result.steps)
            if ordered:
                ordered.require_steps(plan)
            self._previewed = bound
            return expected(outcome, options)

    def up(self, options: Options, events: Events) -> Outcome:
        require_kept(self._project, self._settings)
        with self._site.locked("up"), self._site.opened(options, events) as session:
            proof = self._proof(session)
            proof.require_known(session.state, self.name)
            self._require_plan(session, options)
            if session.cloud and not session.state.resources:
                self._site.cloud.remember(session.cloud.instance_id)
            self._site.record()
            result = session.change(session.stack.up, refreshed=session.refresh, **_flags(session, options))
            proof.tell_rolled_back(result)
            outcome = self._done(session, result, options)
            unseen = proof.require(result.state)
            return replace(outcome, warnings=outcome.warnings + unseen)

    def refresh(self, options: Options, events: Events) -> Outcome:
        with self._site.locked("refresh"), self._site.opened(options, events) as session:
            result = session.change(session.stack.refresh, refreshed=True, **_common(options))
            return expected(self._done(session, result, options), options)

    def preview_destroy(self, options: Options, events: Events) -> Outcome:
        with self._site.opened(options, events, create=False) as session:
            result = session.preview(session.stack.preview_destroy, **_common(options))
            return self._outcome(session, result, options)

    def destroy(self, options: Options, events: Events) -> Outcome:
        with self._site.locked("destroy"), self._site.opened(options, events) as session:
            flags = _common(options) | {"refresh": session.refresh}
            result = session.change(session.stack.destroy, refreshed=session.refresh, **flags)
            return self._done(session, result, options)

    def preview_rollback(self, to: str | None, options: Options, events: Events) -> Outcome:
        earlier = past.states(self._site.backend, self._project.pulumi_name, self._name, self._site.secrets)
        served = {version: revision_of(each) for version, each in earlier.items() if revision_of(each)}
        with self._site.opened(options, events, create=False) as session:
            version = chosen(to, served, revision_of(session.state), self._name)
            live = self._proof(session).instances(session.state)
            goal = prepared(earlier[version], self._project, self._settings, live)
            result = rollback.preview(session, goal, self._stopped, parallel=options.parallel or PARALLEL)
            outcome = self._outcome(session, result, options)
            self._goal = Goal(version, goal, plan_of(result.steps))
            return outcome

    def rollback(self, options: Options, events: Events) -> Outcome:
        assert self._goal is not None, "nothing is carried out that was not planned"
        goal, calls = self._goal, Calls(events)
        note = past.note(goal.version, options.message, environment(self._project.folder))
        with self._site.locked("rollback"), self._site.opened(options, events) as session:
            with self._site.explaining():
                result = rollback.carry_out(
                    session, goal, calls, self._stopped, self._site.unfinished, self._site.secrets,
                    parallel=options.parallel or PARALLEL,
                )  # fmt: skip
            proof = self._proof(session)
            proof.tell_rolled_back(result)
            with self._site.explaining():
                result = rollback.settle(session, result, note)
            outcome = self._done(session, result, options)
            unseen = proof.require(result.state)
            return replace(outcome, warnings=outcome.warnings + unseen, calls=tuple(calls.made))

    def drift(self, options: Options, events: Events) -> Drift:
        with self._site.opened(options, events, create=False) as session:
            result = session.preview(session.stack.preview_refresh, **_common(options))
            outcome = self._outcome(session, result, options)
            serving, unseen = self._proof(session).serving(session.state)
            return Drift(outcome, tuple(serving), tuple(unseen))

    def outputs(self, *, show_secrets: bool = False) -> Mapping[str, Any]:
        entries = self._site.recorded().resources
        stack = next((entry for entry in entries if entry.type == STACK_TYPE), None)
        return shown(stack.outputs if stack else {}, show_secrets=show_secrets)

    def history(self) -> tuple[Update, ...]:
        with self._site.explaining():
            try:
                found = self._site.stack().history(show_secrets=False)
            except StackNotFoundError:
                found = []
        return past.updates(found, self._site.backend, self._project.pulumi_name, self._name)

    def holder(self) -> Owner | None:
        return self._site.lock.owner()

    def cancel(self) -> str | None:
        holder = self._site.lock.owner()
        ours = self._site.lock.unlock(holder.id).describe() if holder else None
        theirs = self._pulumis_holder()
        if theirs:
            self._end_pulumis()
        return ours or (theirs and f"Pulumi's own lock of {theirs.who}")

    def export_state(self, *, show_secrets: bool = False) -> dict[str, Any]:
        with self._site.explaining():
            try:
                return self._site.stack().export(show_secrets=show_secrets)
            except StackNotFoundError:
                return {"version": checkpoint.VERSION, "deployment": {"resources": []}}

    def import_state(self, document: Mapping[str, Any]) -> None:
        where = "the document to import"
        # What a cloud's key sealed is Pulumi's to open: only the shape is looked at here.
        readable = cloud_secrets.without_sealed(document)
        state = checkpoint.read(readable, self._project.pulumi_name, self._name, self._site.secrets, where).state
        if violations := integrity.check(state):
            raise StateCorrupt(
                f"the state is not sound: {violations[0]}",
                where=where,
                hint="import what `cloudmodel state export` wrote; nothing was changed",
                details={"violations": list(violations)},
            )
        stack = self._site.stack()
        deployment = checkpoint.export(state, self._site.secrets) if "checkpoint" in readable else document
        with self._site.locked("import"), self._site.explaining():
            self._site.cloud.forget()
            try:
                stack.take(deployment)
            except CommandError as failed:
                if not (isinstance(failed, StackNotFoundError) or self._site.cleared(failed)):
                    raise
                stack.workspace.create_stack(self._name)
                stack.take(deployment)
            self._site.unfinished.forget()  # it speaks of the state that was there

    def rebuild_state(self, options: Options, events: Events) -> Rebuilt:
        opened = self._site.opened(options, events, lost=True)
        with self._site.locked("rebuild"), opened as session, self._site.explaining():
            parallel, folder = options.parallel or PARALLEL, self._project.folder
            run = replace(
                interrupted.run_of(session.stack, session.project, session.cloud, parallel=parallel),
                program=script(folder), secret_keys=self._settings.secret_keys, folder=folder,
            )  # fmt: skip
            url = session.cloud.endpoint_url if session.cloud else None
            found = rebuilt(run, url, session.state, session.events, self._stopped)
            interrupted.put(session.stack, found.state, self._site.secrets)
            # Pulumi's own provider reads everything once more, and the rebuild is in its history.
            result = session.change(session.stack.refresh, refreshed=True, message="rebuild")
            self._done(session, result, options)
            return found

    def verify_state(self) -> tuple[str, ...]:
        return integrity.check(self._site.recorded())

    def pending(self) -> tuple[str, ...]:
        state = self._site.recorded()
        return begun(self._site.unfinished.found(state) or state)

    def unlock(self, lock_id: str) -> None:
        holder = self._site.lock.unlock(lock_id)
        theirs = self._pulumis_holder()
        if theirs and theirs.host and theirs.host == holder.host:  # Pulumi's, which that run had started
            with self._site.locked("unlock"):  # one that begins now is not to lose its own
                self._end_pulumis()

    def _pulumis_holder(self) -> PulumisHolder | None:
        return workspace.pulumis_holder(self._site.backend, self._project.pulumi_name, self._name)

    def _end_pulumis(self) -> None:
        with self._site.explaining(), contextlib.suppress(StackNotFoundError):
            self._site.stack().cancel()

    def remove(self, *, force: bool = False) -> None:
        with self._site.locked("remove"), self._site.explaining():
            if not force and self._site.unfinished.found(self._site.recorded()):
                raise UsageError(
                    "a rollback of the stack was interrupted, and what it made would be forgotten",
                    where=f"stack {self._name}",
                    hint=f"cloudmodel refresh --stack {self._name}; or `--force` to forget it",
                )
            with contextlib.suppress(StackNotFoundError):
                self._site.stack().workspace.remove_stack(self._name, force=force, preserve_config=True)
            self._site.unfinished.forget()
            self._site.forget_record()
            shutil.rmtree(self._site.folder, ignore_errors=True)

    def _proof(self, session: Session) -> Proof:
        return Proof(self._project, self._settings, session.cloud)

    def _require_plan(self, session: Session, options: Options) -> None:
        """Raise StalePlan unless this `up` will do what was planned: the sealed plan's steps, found once more now."""
        if options.plan:
            plan = sealed.opened(options.plan, self._binding(session))
            again = session.preview(session.stack.preview, **_flags(session, options)).raise_error()
            plan.require_steps(plan_of(again.steps))
        elif self._previewed:
            self._previewed.require(self._binding(session), where=f"stack {self._name}")

    def _binding(self, session: Session) -> Binding:
        cloud = session.cloud.instance_id if session.cloud else ""
        return binding(
            self._project, self._settings, self._name, self.name, session.state, cloud=cloud, account=session.account
        )

    def _done(self, session: Session, result: Result, options: Options) -> Outcome:
        if session.cloud and result.refreshed:
            self._site.cloud.remember(session.cloud.instance_id)
        return self._outcome(session, result, options)

    def _outcome(self, session: Session, result: Result, options: Options) -> Outcome:
        account.tell_expired(result, self._name)
        tell_late(result, self._name)
        result.raise_error()
        return Outcome(
            stack=self._name, target=self._settings.target, engine=self.name, region=self._settings.region,
            account=session.account, steps=result.steps,
            outputs=shown(result.outputs, show_secrets=options.show_secrets),
            warnings=tuple(session.warnings), duration_s=time.monotonic() - session.started,
        )  # fmt: skip


def _common(options: Options) -> dict[str, Any]:
    return {"parallel": options.parallel, "message": options.message}


def _flags(session: Session, options: Options) -> dict[str, Any]:
    require_replaceable(session.state.live, options.replace)
    return _common(options) | {"refresh": session.refresh, "replace": list(options.replace)}
