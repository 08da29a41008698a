"""The folder of one embedded stack: everything that is known of it, kept so that no crash loses any.

    .cloudmodel/stacks/<stack>/   (0700, files 0600)
        checkpoint.json           the state after the last run, in Pulumi's form
        journal.ndjson            what was done since; only there during a run and after one that was cut off
        lock, gate                who holds the stack
        history.ndjson            all runs
        backups/                  the ten checkpoints before
        revisions/                what the last twenty runs that succeeded left, for a rollback

A save: keep the old checkpoint, note the new one's digest in the journal, replace the checkpoint, remove the journal.
Cut off at any of these, the next reader finds the old checkpoint with its journal or the new checkpoint (I4).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import Cancelled, CloudmodelError, SaveFailed, StalePlan, StateCorrupt, UsageError
from cloudmodel.core.files import private_folder, sync_folder, write_bytes
from cloudmodel.core.naming import STACK_NAME
from cloudmodel.engine import checkpoint, history, integrity
from cloudmodel.engine.holder import Owner
from cloudmodel.engine.journal import Journal, Replayed, replay
from cloudmodel.engine.lock import StackLock
from cloudmodel.engine.normal import canonical, equal
from cloudmodel.engine.revisions import Revisions
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import State
from cloudmodel.engine.urn import STACK_TYPE

KEPT = 10
BACKUP = re.compile(r"checkpoint-(\d{6,})\.json")
PRIVATE = 0o600


@dataclass(frozen=True)
class _Found:
    """What lies on the disk: the checkpoint's bytes, digest and state, and the journal applied to it."""

    content: bytes
    digest: str
    saved: State
    replayed: Replayed

    @property
    def state(self) -> State:
        return self.replayed.book.state


class StackFolder:
    """The state of `stack` in `<root>/stacks/<stack>`; `root` is a project's `.cloudmodel`.

    Reading takes no lock. Every method raises StateCorrupt rather than give a state that is not whole, and the errors
    of `Secrets` where a passphrase is needed.
    """

    def __init__(self, root: Path, project: str, stack: str, secrets: Secrets) -> None:
        if not STACK_NAME.fullmatch(stack):
            raise UsageError(f"{stack!r} is no name for a stack", hint="letters, digits, `-`, `_` and `.`; at most 100")
        self.folder = root / "stacks" / stack
        self._root = root
        self._project = project
        self._stack = stack
        self._secrets = secrets
        self._checkpoint = self.folder / "checkpoint.json"
        self._journal = self.folder / "journal.ndjson"
        self._history = self.folder / "history.ndjson"
        self._backups = self.folder / "backups"
        self.revisions = Revisions(self.folder / "revisions", secrets)
        self._lock = StackLock(self.folder, stack)

    def exists(self) -> bool:
        """Whether there is a state."""
        return self._checkpoint.exists() or self._journal.exists()

    def load(self) -> State:
        """The state with everything recorded; empty for a stack that was never up. Raises StateCorrupt (I5)."""
        return self._sound(self._read()).state

    def verify(self) -> tuple[str, ...]:
        """What is wrong with the state, in words; empty when it is sound. Raises StateCorrupt if it cannot be read."""
        return integrity.check(self._read().state)

    @contextlib.contextmanager
    def open(
        self, operation: str, *, message: str = "", environment: Mapping[str, str] | None = None
    ) -> Iterator[Journal]:
        """Hold the stack for one run of `operation` (up, refresh, destroy) and record what it does.

        At the end, also after an exception, what was recorded goes into the checkpoint, and the history tells how it
        ended; of a plan that was refused before anything was done it tells nothing.
        Raises StackLocked, StateCorrupt, SaveFailed.
        """
        note = self._acquire(operation)
        try:
            found = self._sound(self._read())
            journal = self._start(found, operation)
            journal.notes += [note] if note else []
            with self._saving(journal):
                self._sweep()
                version = history.begin(self._history, operation, message, environment or {}, self._lock.id)
            result = history.FAILED
            try:
                yield journal
                result = history.SUCCEEDED
            except (Cancelled, KeyboardInterrupt):
                result = history.CANCELLED
                raise
            except StalePlan:
                result = history.FAILED if journal.written else ""
                raise
            finally:
                try:
                    self._finish(journal, found)
                except CloudmodelError:
                    result = history.FAILED
                    raise
                finally:
                    journal.close()
                    with contextlib.suppress(OSError):
                        if result:
                            self._tell(version, result, journal.state, journal.summary)
                        else:
                            history.withdraw(self._history, version)
        finally:
            self._release()

    def history(self) -> tuple[history.Entry, ...]:
        """All runs, oldest first."""
        owner = self._lock.owner()
        return history.read(self._history, owner.id if owner else "")

    def backups(self) -> tuple[Path, ...]:
        """The checkpoints before, oldest first."""
        found = self._backups.iterdir() if self._backups.is_dir() else ()
        numbered = ((int(match[1]), path) for path in found if (match := BACKUP.fullmatch(path.name)))
        return tuple(path for _, path in sorted(numbered))

    def holder(self) -> Owner | None:
        """Who holds the lock; None for nobody."""
        return self._lock.owner()

    def unlock(self, lock_id: str) -> Owner:
        """Break the lock with this id; its holder cannot write any more. Raises UsageError, StackLocked."""
        return self._lock.unlock(lock_id)

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The document of `pulumi stack export`.

        Refused while operations are pending: `pulumi stack import` drops them, and what they made would be forgotten.
        """
        state = self._read().state
        if state.pending:
            names = ", ".join(operation.resource.urn for operation in state.pending)
            raise CloudmodelError(
                f"operations are pending, and an import would drop them: {names}",
                where=str(self.folder),
                hint=f"settle them first: cloudmodel refresh --stack {self._stack}",
            )
        return checkpoint.export(state, self._secrets, show_secrets=show_secrets)

    def import_(self, document: Mapping[str, Any]) -> State:
        """Put `document` (an export or a checkpoint) in the place of the state, which is kept in the backups.

        This is the way out of a damaged state, too. Raises StateCorrupt where the document is not sound.
        """
        where = "the document to import"
        try:  # before the stack is held, as everything that is no state
            loaded = checkpoint.read(document, self._project, self._stack, self._secrets, where)
            state = canonical(loaded.state)
            if violations := integrity.check(state):
                raise _unsound(violations, where)
        except StateCorrupt as corrupt:
            hint = f"import what `cloudmodel state export --stack {self._stack}` wrote; nothing was changed"
            raise StateCorrupt(corrupt.message, where=corrupt.where, hint=hint, details=corrupt.details) from None
        with self.replacing("import") as put:
            with contextlib.suppress(CloudmodelError):
                self._read()  # a state that can be read keeps its salt
            if not self._secrets.salt:
                self._secrets.use(loaded.salt)
            put(state)
        return state

    @contextlib.contextmanager
    def replacing(
        self, operation: str, *, environment: Mapping[str, str] | None = None
    ) -> Iterator[Callable[[State], None]]:
        """Hold the stack; what this yields puts a sound state in the place of the one that is there, if any.

        That one is not read and goes into the backups. Raises StackLocked, SaveFailed; what it yields, StateCorrupt.
        """
        self._acquire(operation)

        def put(state: State) -> None:
            self._refuse(integrity.check(state), f"the state to {operation}")
            with self._saving(None), self._lock.guard():
                self._keep_all()
                version = history.begin(self._history, operation, "", environment or {}, self._lock.id)
                # The journal goes last: cut off before that, it does not fit the checkpoint and the state is refused.
                write_bytes(self._checkpoint, checkpoint.write(state, self._secrets), mode=PRIVATE)
                self._journal.unlink(missing_ok=True)
                sync_folder(self.folder)
                self._tell(version, history.SUCCEEDED, state, {})

        try:
            yield put
        finally:
            self._release()

    def remove(self, *, force: bool = False) -> None:
        """Forget the stack with its history and backups.

        Raises UsageError while it still has resources, unless forced.
        """
        if not self.folder.exists():
            return
        self._acquire("remove")
        gone = self.folder.with_name(f".{self._stack}.{uuid.uuid4().hex}")
        try:
            if not force and (count := _size(self._read().state)):
                raise UsageError(
                    f"the stack {self._stack} still has {count} resources",
                    where=str(self.folder),
                    hint=f"cloudmodel destroy --stack {self._stack}; or `--force` to forget them",
                )
            with self._saving(None), self._lock.guard():
                self.folder.rename(gone)
                sync_folder(gone.parent)
        finally:
            self._release()
        shutil.rmtree(gone)

    def _tell(self, version: int, result: str, state: State, summary: Mapping[str, int]) -> None:
        """End the run's entry in the history; after a success keep what stands, for a rollback."""
        outputs: Mapping[str, Any] = next((each.outputs for each in state.resources if each.type == STACK_TYPE), {})
        bundle, revision = (str(outputs.get(name) or "") for name in ("bundle_digest", "revision"))
        if result == history.SUCCEEDED and revision:
            self.revisions.keep(version, state)
        history.end(self._history, version, result, summary, bundle=bundle, revision=revision)

    def _acquire(self, operation: str) -> str:
        with self._saving(None):
            for folder in (self._root, self.folder.parent, self.folder):
                private_folder(folder)
            return self._lock.acquire(operation)

    def _sweep(self) -> None:
        """Take away what a killed run left half-written; we hold the lock, so nobody is at it."""
        for folder in (self.folder, self._backups):
            for path in folder.glob(".*"):
                path.unlink()

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            self._lock.release()

    def _start(self, found: _Found, operation: str) -> Journal:
        again = f"cloudmodel {operation} --stack {self._stack}"
        replayed = found.replayed
        journal = Journal(self._journal, replayed, found.digest, self._secrets, self._lock.guard, again)
        if replayed.folded:
            with self._saving(journal):
                journal.discard()
            return self._start(replace(found, replayed=Replayed(replayed.book, next=replayed.next)), operation)
        if found.state.pending:
            journal.notes.append(
                f"an earlier run left {len(found.state.pending)} pending: what it began is looked up now"
            )
        return journal

    def _finish(self, journal: Journal, found: _Found) -> None:
        if journal.failure:
            raise journal.failure
        if not journal.written:
            return
        with self._saving(journal):
            if not equal(journal.state, found.saved):
                content = checkpoint.write(journal.state, self._secrets)
                with self._lock.guard():
                    self._keep(found.content)
                journal.fold(_digest(content))
                with self._lock.guard():
                    write_bytes(self._checkpoint, content, mode=PRIVATE)
            journal.discard()

    @contextlib.contextmanager
    def _saving(self, journal: Journal | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if journal:
                raise journal.save_failed(error) from None
            raise SaveFailed(
                f"the state could not be saved: {error.strerror or error}",
                where=str(self.folder),
                hint="nothing was changed; make room there or make it writable, then run the command again",
            ) from None

    def _read(self) -> _Found:
        """Raises StateCorrupt, with the way back in its hint."""
        try:
            content, journal = self._bytes()
            if not content and content is not None:
                raise StateCorrupt("the state is empty", where=str(self._checkpoint))
            if content is None and self.backups():
                raise StateCorrupt("the checkpoint is missing, although the stack had one", where=str(self._checkpoint))
            loaded = checkpoint.Loaded(State(self._project, self._stack))
            if content is not None:
                where = str(self._checkpoint)
                document = checkpoint.parse(content, where)
                loaded = checkpoint.read(document, self._project, self._stack, self._secrets, where)
            self._secrets.use(loaded.salt)
            digest = _digest(content) if content is not None else ""
            replayed = replay(journal or b"", loaded.state, digest, self._secrets, str(self._journal))
            self._secrets.use(replayed.salt)
            return _Found(content or b"", digest, loaded.state, replayed)
        except OSError as error:
            reason = StateCorrupt(f"the state cannot be read: {error.strerror}", where=str(self.folder))
            raise self._with_way_back(reason) from None
        except StateCorrupt as error:
            raise self._with_way_back(error) from None

    def _bytes(self) -> tuple[bytes | None, bytes | None]:
        """Checkpoint and journal of one moment, though a run may be saving just now."""
        while True:
            content = _content(self._checkpoint)
            journal = _content(self._journal)
            if content == _content(self._checkpoint):
                return content, journal

    def _sound(self, found: _Found) -> _Found:
        self._refuse(integrity.check(found.state), str(self._checkpoint))
        return found

    def _refuse(self, violations: tuple[str, ...], where: str) -> None:
        if violations:
            raise self._with_way_back(_unsound(violations, where))

    def _with_way_back(self, error: StateCorrupt) -> StateCorrupt:
        good = self._last_good_backup()
        command = f"cloudmodel state import --stack {self._stack} --file {good or 'FILE'}"
        what = "the last good backup" if good else "there is no good backup; an export"
        anew = f"cloudmodel state rebuild --stack {self._stack}"
        hint = f"{error.hint or 'it was left as it is'}; {what} goes back with `{command}`, and `{anew}` makes one anew"
        details = {**error.details, "backup": str(good) if good else None}
        return StateCorrupt(error.message, where=error.where, hint=hint, runbook="corrupt-state", details=details)

    def _last_good_backup(self) -> Path | None:
        for path in reversed(self.backups()):
            with contextlib.suppress(CloudmodelError, OSError):
                document = checkpoint.parse(path.read_bytes(), str(path))
                loaded = checkpoint.read(document, self._project, self._stack, self._secrets, str(path))
                if not integrity.check(loaded.state):
                    return path
        return None

    def _keep(self, content: bytes) -> None:
        """Put a checkpoint among the backups; the oldest of more than ten goes."""
        before = self.backups()
        if not content or (before and _content(before[-1]) == content):
            return
        number = int(BACKUP.fullmatch(before[-1].name)[1]) + 1 if before else 1  # type: ignore[index]
        private_folder(self._backups)
        write_bytes(self._backups / f"checkpoint-{number:06}.json", content, mode=PRIVATE)
        for path in before[: max(0, len(before) + 1 - KEPT)]:
            path.unlink()

    def _keep_all(self) -> None:
        """Keep what an import replaces, also where it is damaged or has a journal."""
        self._keep(_content(self._checkpoint) or b"")
        if journal := _content(self._journal):
            private_folder(self._backups)
            write_bytes(self._backups / f"journal-{_digest(journal)[:16]}.ndjson", journal, mode=PRIVATE)


def _unsound(violations: tuple[str, ...], where: str) -> StateCorrupt:
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    message = f"the state is not sound: {violations[0]}{more}"
    return StateCorrupt(message, where=where, details={"violations": list(violations)})


def _size(state: State) -> int:
    return len(state.resources) + len(state.pending)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
