"""Where a stack of the official engine is: its backend with our lock and record beside it, its folder, its local AWS;
and how it is opened for a run.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pulumi.automation import CommandError
from pulumi.automation.errors import StackNotFoundError

from cloudmodel.core.errors import Cancelled, StateCorrupt
from cloudmodel.core.files import PRIVATE, private_folder
from cloudmodel.deploy import account
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.official import cloud_secrets, damaged, failures, interrupted, recorded, workspace
from cloudmodel.deploy.official.bucket import SCHEME, BackendBucket, BucketPlace
from cloudmodel.deploy.official.bucket_lock import BucketLock
from cloudmodel.deploy.official.cli import require
from cloudmodel.deploy.official.command import Command
from cloudmodel.deploy.official.session import Program, Session
from cloudmodel.deploy.official.stack import OpenStack, Workspace
from cloudmodel.deploy.official.unfinished import FilePlace, Place, Unfinished
from cloudmodel.deploy.surroundings import RememberedCloud, cloud_at, importable, script
from cloudmodel.engine.lock import StackLock
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Diagnostic, Event, Events
from cloudmodel.localaws import server as localaws
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.settings.model import Local, Project, StackSettings

GOES_ON = "a run of this stack is in progress, and this is what it had recorded by now: "


class Site:
    """One stack; `stop` ends what its engine has under way. Raises UsageError where Pulumi's command line is missing or
    too old."""

    def __init__(self, project: Project, settings: StackSettings, stack: str, stop: Callable[[], None]) -> None:
        self.project = project
        self.settings = settings
        self.name = stack
        self.home = project.folder / PRIVATE
        self.folder = self.home / "official" / "work" / stack
        self.command = Command(require())
        self._stop = stop
        self.backend = workspace.backend(project, settings)
        self.secrets = Secrets(passphrase_source(self.home / "passphrase"), data_key=cloud_secrets.data_key)
        self.lock = self._lock()
        self.unfinished = self._unfinished()
        self.cloud = RememberedCloud(self.folder)
        self._program = Program(script(project.folder), project.folder)

    def stack(self, url: str = "", *, backend: str = "") -> OpenStack:
        """The stack, whether there is one or not: what it is asked raises StackNotFoundError where there is none."""
        folder = workspace.prepare(self.project, self.settings, self.name)
        environment = workspace.environment(self.project, self.settings, url)
        if backend:
            environment[workspace.BACKEND] = backend
        opened = Workspace(
            work_dir=str(folder),
            program=self._program,
            env_vars=environment,
            secrets_provider=self.settings.secrets_provider,
            pulumi_command=self.command,
        )
        return OpenStack(self.name, opened)

    def record(self) -> None:
        """Keep what a rollback reads of the project, where the state is in a bucket. Raises OSError, its errors."""
        if self.backend.startswith(SCHEME):
            recorded.keep(self.project, self.settings, self.backend, self.folder / self.settings.path.name)

    def forget_record(self) -> None:
        """The stack is gone, and what `record` kept of it goes too."""
        if self.backend.startswith(SCHEME):
            recorded.place(BackendBucket(self.backend), self.project.pulumi_name, self.name).remove()

    def recorded(self) -> State:
        """The state as Pulumi has it; empty where there is none."""
        with self.explaining():
            try:
                return self.stack().state(self.project.pulumi_name)
            except StackNotFoundError:
                return State(self.project.pulumi_name, self.name)

    @contextlib.contextmanager
    def locked(self, verb: str) -> Iterator[None]:
        """Hold our lock. A run whose lock somebody breaks is stopped. Raises StackLocked."""
        for folder in (self.home, self.home / "stacks"):
            private_folder(folder)
        self.lock.acquire(verb, self._stop)
        try:
            yield
        except Cancelled:
            self.lock.require()  # that may be why
            raise
        finally:
            self.lock.release()

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """What the command line says when it fails becomes one of our errors."""
        try:
            yield
        except CommandError as failed:
            text = str(failed)
            raise failures.known(text, self.name) or failures.unknown(text, (), self.name) from None

    @contextlib.contextmanager
    def opened(self, options: Options, events: Events, *, create: bool = True, lost: bool = False) -> Iterator[Session]:
        """The stack with a run's surroundings. Without `create` it is only read: one that has no state yet, or one that
        an interrupted run left, is a copy that is thrown away (I10). A state that is `lost` is not read, whatever is
        there: the session's is empty."""
        started = time.monotonic()
        warnings: list[str] = []

        def listen(event: Event) -> None:
            if isinstance(event, Diagnostic) and event.severity == "warning":
                warnings.append(event.message)
            events(event)

        keys_are_sealed = bool(account.KEYS & self.settings.secret_keys)
        actor = "" if keys_are_sealed else self._actor(self.settings.raw)
        with contextlib.ExitStack() as exits:
            cloud = self._local_cloud()
            url = cloud.endpoint_url if cloud else ""
            refresh = options.refresh
            with self.explaining():
                if lost:
                    workspace.forget_salt(self.folder / self.settings.path.name)
                stack, state, there = self.stack(url), State(self.project.pulumi_name, self.name), True
                try:
                    if lost:
                        stack.export(show_secrets=False)
                    else:
                        state = stack.state(self.project.pulumi_name)
                except CommandError as failed:
                    if not (isinstance(failed, StackNotFoundError) or (lost and self.cleared(failed))):
                        raise
                    there = False
                # What is sealed is opened, and who asks is known, before anything is made.
                asked = stack if there else self._copy(exits, url)
                config = asked.get_all_config() if self.settings.secret_keys else {}
                if keys_are_sealed:
                    actor = self._actor({**self.settings.raw, **{key: each.value for key, each in config.items()}})
                if not there:
                    stack = asked
                    if create:
                        stack = self.stack(url)
                        stack.workspace.create_stack(self.name)
                elif not lost and (create or not self._goes_on(listen)):
                    found = interrupted.left(self.unfinished, state, self.backend, self.settings, cloud, listen)
                    if found:
                        state = interrupted.settled(stack, found, self.project.pulumi_name, cloud, listen)
                        if not create:
                            stack = self._copy(exits, url)
                        interrupted.put(stack, state, self.secrets)
                        refresh = refresh or cloud is None  # what Pulumi's own provider knows besides is read by it
                if create:
                    self.unfinished.forget()
                if advice := cloud_secrets.key_to_keep(self.settings, Path(stack.workspace.work_dir)):
                    listen(Diagnostic("warning", advice))
            if cloud and (doubt := self.cloud.doubt(cloud.instance_id, state)):
                listen(doubt)
                refresh = True
            exits.enter_context(contextlib.chdir(self.project.folder))
            exits.enter_context(importable(self.project.folder))
            exits.enter_context(cloud_at(url))
            session = Session(
                stack=stack, project=self.project.pulumi_name, program=self._program, command=self.command,
                cloud=cloud, account=actor, state=state, refresh=refresh, events=listen, warnings=warnings,
                started=started,
            )  # fmt: skip
            for entry in state.resources:
                session.masker.learn(entry.inputs)
                session.masker.learn(entry.outputs)
            for value in config.values():
                if value.secret:
                    session.masker.add(value.value)
            yield session

    def cleared(self, failed: CommandError) -> bool:
        """Whether there is no state now, where `failed` says that it is damaged: it is kept beside."""
        damage = isinstance(failures.known(str(failed), self.name), StateCorrupt)
        return damage and damaged.set_aside(self.backend, self.project.pulumi_name, self.name)

    def _copy(self, exits: contextlib.ExitStack, url: str) -> OpenStack:
        """A stack of the same settings in a backend of its own, which ends with `exits`."""
        empty = exits.enter_context(tempfile.TemporaryDirectory(prefix="cloudmodel-"))
        stack = self.stack(url, backend=f"{workspace.FILES}{empty}")
        stack.workspace.create_stack(self.name)
        return stack

    def _goes_on(self, events: Events) -> bool:
        """Whether another run holds the stack, which is then told: what is pending is that run's, and no remains."""
        holder = self.lock.owner()
        if holder is None or holder.over:
            return False
        events(Diagnostic("warning", GOES_ON + holder.describe()))
        return True

    def _actor(self, config: Mapping[str, str]) -> str:
        """The account that the run acts in. Raises CredentialsMissing for one that the stack may not touch."""
        if self.settings.target != "local":
            return account.identify(self.settings, config)
        account.require(self.settings, ACCOUNT)
        return ACCOUNT

    def _local_cloud(self) -> Running | None:
        if self.settings.target != "local":
            return None
        local = self.settings.local or Local()
        running = localaws.start(
            self.home / "local", region=self.settings.region, port=local.port, max_workers=local.max_workers
        )
        return replace(running, region=self.settings.region)

    def _lock(self) -> StackLock | BucketLock:
        """Our lock is where the state is: beside it in the bucket, else in the project's private folder."""
        if self.backend.startswith(SCHEME):
            return BucketLock(BackendBucket(self.backend), self.project.pulumi_name, self.name)
        return StackLock(self.home / "stacks" / self.name, self.name)

    def _unfinished(self) -> Unfinished:
        """It lies beside the lock."""
        place: Place = FilePlace(self.home / "stacks" / self.name / "rollback.json")
        if self.backend.startswith(SCHEME):
            path = f".cloudmodel/rollbacks/{self.project.pulumi_name}/{self.name}.json"
            place = BucketPlace(BackendBucket(self.backend), path)
        return Unfinished(place, self.project.pulumi_name, self.name, self.secrets, self.lock.require)
