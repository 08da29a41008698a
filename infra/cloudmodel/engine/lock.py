"""One run a stack (I6), and nothing written by a run whose lock was broken (I7).

`lock` is a JSON file that says who holds the stack; it is there exactly while somebody does, and its time is that of
the holder's last sign of life (`engine.pulse`). `gate` is held (flock) for the short time in which the lock is taken,
broken, or written under: so between "is it still mine" and the write nobody else can take it. Its content is the last
generation.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from cloudmodel.core.errors import StackLocked, UsageError
from cloudmodel.core.files import private_folder, sync_folder, write_text
from cloudmodel.engine.holder import Owner, has_ended, me, read_owner
from cloudmodel.engine.pulse import Pulse


class StackLock:
    """The lock of the stack whose folder is `folder`. `acquire`, `guard`, `release` are for one run."""

    def __init__(self, folder: Path, stack: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._file = folder / "lock"
        self._stack = stack
        self._clock = clock
        self._mine: Owner | None = None
        self._pulse: Pulse | None = None

    @property
    def id(self) -> str:
        """The id of our lock; empty when we hold none."""
        return self._mine.id if self._mine else ""

    def acquire(self, operation: str, lost: Callable[[], None] = lambda: None) -> str:
        """Take the lock; returns what to tell the user, empty when there is nothing to tell.

        A lock left by a process of this host that has ended is taken over. `lost` is called, on another thread, should
        somebody break ours. Raises StackLocked, OSError.
        """
        private_folder(self._folder)
        self._refuse()  # without the gate: a holder that was suspended may sit in it
        with self._gate(create=True) as gate:
            found = self._refuse()
            self._mine = me(_generation(gate) + 1, operation)
            os.pwrite(gate, f"{self._mine.generation:020}".encode(), 0)
            try:
                write_text(self._file, json.dumps(asdict(self._mine), sort_keys=True) + "\n", mode=0o600)
            except OSError:
                self._file.unlink(missing_ok=True)  # it may be there, and nobody would ever give it back
                raise
        self._pulse = Pulse(self.renew, lost)
        return f"took over the lock of a run that has ended: {found.describe()}" if found else ""

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Nobody takes or breaks the lock inside this block. Raises StackLocked when it is not ours any more.

        Must not be entered again inside itself: it would wait for itself.
        """
        try:
            gate = self._enter()
        except FileNotFoundError:
            raise broken(None, self._stack, str(self._file)) from None
        try:
            found = self.owner()
            if found is None or found.id != self.id:
                raise broken(found, self._stack, str(self._file))
            yield
        finally:
            os.close(gate)

    def require(self) -> None:
        """Raise StackLocked when the lock is not ours any more."""
        with self.guard():
            pass

    def renew(self) -> None:
        """Give a sign of life. Raises StackLocked when the lock is not ours any more, OSError."""
        with self.guard():
            now = self._clock()
            os.utime(self._file, (now, now))

    def release(self) -> None:
        """Give the lock back; one that is not ours (any more) stays. Raises OSError."""
        if self._pulse:
            self._pulse.stop()
        with contextlib.suppress(StackLocked), self.guard():
            self._file.unlink()
            sync_folder(self._folder)
        self._mine = None

    def unlock(self, lock_id: str) -> Owner:
        """Break the lock with this id, whoever holds it; returns who did. Raises UsageError, StackLocked."""
        if self.owner() is None:
            raise UsageError(f"the stack {self._stack} is not locked", where=str(self._file))
        with self._gate(create=True):
            found = self.owner()
            if found is None:
                raise UsageError(f"the stack {self._stack} is not locked", where=str(self._file))
            if found.id != lock_id:
                raise locked(found, self._stack, str(self._file))
            self._file.unlink()
            sync_folder(self._folder)
        return found

    def _refuse(self) -> Owner | None:
        """Raise StackLocked for a lock whose holder lives; returns one that was left behind."""
        found = self.owner()
        if found and not has_ended(found):
            raise locked(found, self._stack, str(self._file))
        return found

    def owner(self) -> Owner | None:
        """Who holds the lock now; None for nobody."""
        try:
            content, renewed = self._file.read_bytes(), self._file.stat().st_mtime
        except FileNotFoundError:
            return None
        return read_owner(content).last_seen(self._clock() - renewed)

    @contextlib.contextmanager
    def _gate(self, *, create: bool = False) -> Iterator[int]:
        descriptor = self._enter(os.O_CREAT if create else 0)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _enter(self, flags: int = 0) -> int:
        path = self._folder / "gate"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The folder may have been removed while we waited: then what we hold guards nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            os.close(descriptor)


def locked(found: Owner, stack: str, where: str) -> StackLocked:
    """The error of whoever finds `stack` held by another run."""
    told = "that run is over" if found.over else "wait for it; if it is gone"
    return StackLocked(
        f"the stack {stack} is locked: {found.describe()}",
        where=where,
        hint=f"{told}: cloudmodel state unlock --stack {stack} --id {found.id}",
        runbook="stuck-lock",
        details={"holder": asdict(found)},
    )


def broken(found: Owner | None, stack: str, where: str) -> StackLocked:
    """The error of a run whose lock is not its own any more; `found` holds it now."""
    return StackLocked(
        "the lock of this run was broken by somebody else; nothing more is written",
        where=where,
        hint=f"run `cloudmodel refresh --stack {stack}` before the next change",
        details={"holder": asdict(found) if found else None},
    )


def _generation(gate: int) -> int:
    content = os.pread(gate, 32, 0)
    return int(content) if content.isdigit() else 0
