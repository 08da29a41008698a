"""One run a stack (I6), and nothing written by a run whose lock was broken (I7).

`lock` is a JSON file that says who holds the stack; it is there exactly while somebody does. `gate` is held (flock)
for the short time in which the lock is taken, broken, or written under: so between "is it still mine" and the write
nobody else can take it. Its content is the last generation.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cloudmodel.core.errors import StackLocked, UsageError
from cloudmodel.core.files import private_folder, sync_folder, write_text

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Owner:
    """Who holds a stack. `born` tells two processes with one pid apart; `namespace` two containers on one host."""

    id: str
    generation: int
    owner: str
    host: str
    pid: int
    operation: str
    time: str
    born: str
    namespace: str

    def describe(self) -> str:
        """`up by anna on build-7 (pid 4711), for 12 s`."""
        if self.id == UNREADABLE:
            return "an unreadable lock file"
        return f"{self.operation} by {self.owner} on {self.host} (pid {self.pid}), {_age(self.held)}"

    @property
    def held(self) -> float | None:
        """Seconds since the lock was taken; None where it does not say when."""
        try:
            return (datetime.now(UTC) - datetime.fromisoformat(self.time)).total_seconds()
        except (ValueError, TypeError):
            return None

    @property
    def lives(self) -> bool:
        """Whether the holder is seen to run; false where that cannot be seen from here."""
        here = self.host == socket.gethostname() and self.namespace == _namespace()
        return self.id != UNREADABLE and here and not has_ended(self)


class StackLock:
    """The lock of the stack whose folder is `folder`. `acquire`, `guard`, `release` are for one run."""

    def __init__(self, folder: Path, stack: str) -> None:
        self._folder = folder
        self._file = folder / "lock"
        self._stack = stack
        self._mine: Owner | None = None

    @property
    def id(self) -> str:
        """The id of our lock; empty when we hold none."""
        return self._mine.id if self._mine else ""

    def acquire(self, operation: str) -> str:
        """Take the lock; returns what to tell the user, empty when there is nothing to tell.

        A lock left by a process of this host that has ended is taken over. Raises StackLocked, OSError.
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
        return f"took over the lock of a run that has ended: {found.describe()}" if found else ""

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Nobody takes or breaks the lock inside this block. Raises StackLocked when it is not ours any more.

        Must not be entered again inside itself: it would wait for itself.
        """
        try:
            gate = self._enter()
        except FileNotFoundError:
            raise self._broken(None) from None
        try:
            found = self.owner()
            if found is None or found.id != self.id:
                raise self._broken(found)
            yield
        finally:
            os.close(gate)

    def release(self) -> None:
        """Give the lock back; one that is not ours (any more) stays. Raises OSError."""
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
            content = self._file.read_text()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            content = ""
        return read_owner(content)

    def _broken(self, found: Owner | None) -> StackLocked:
        return StackLocked(
            "the lock of this run was broken by somebody else; nothing more is written",
            where=str(self._file),
            hint=f"run `cloudmodel refresh --stack {self._stack}` before the next change",
            details={"holder": asdict(found) if found else None},
        )

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


_FIELDS = {
    "id": str,
    "generation": int,
    "owner": str,
    "host": str,
    "pid": int,
    "operation": str,
    "time": str,
    "born": str,
    "namespace": str,
}


def locked(found: Owner, stack: str, where: str) -> StackLocked:
    """The error of whoever finds `stack` held by another run."""
    return StackLocked(
        f"the stack {stack} is locked: {found.describe()}",
        where=where,
        hint=f"wait for it; if it is gone: cloudmodel state unlock --stack {stack} --id {found.id}",
        runbook="stuck-lock",
        details={"holder": asdict(found)},
    )


def read_owner(content: str | bytes) -> Owner:
    """Who a lock's content names; an owner called UNREADABLE where it names nobody."""
    try:
        document = json.loads(content)
        return Owner(**{name: kind(document[name]) for name, kind in _FIELDS.items()})
    except (ValueError, KeyError, TypeError):
        return Owner(UNREADABLE, 0, "", "", 0, "", "", "", "")


def me(generation: int, operation: str) -> Owner:
    """This process as the owner of a lock."""
    pid = os.getpid()
    return Owner(
        id=uuid.uuid4().hex,
        generation=generation,
        owner=_user(),
        host=socket.gethostname(),
        pid=pid,
        operation=operation,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        born=_born(pid),
        namespace=_namespace(),
    )


def has_ended(owner: Owner) -> bool:
    """Whether the owner is known to have ended; false where that cannot be known from here."""
    if owner.id == UNREADABLE or owner.host != socket.gethostname() or owner.namespace != _namespace():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    born = _born(owner.pid)
    return bool(born) and born != owner.born


def _born(pid: int) -> str:
    """When the process was started, in a form to compare; empty when that cannot be read, `zombie` for a dead one."""
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "zombie" if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _generation(gate: int) -> int:
    content = os.pread(gate, 32, 0)
    return int(content) if content.isdigit() else 0


def _age(held: float | None) -> str:
    if held is None:
        return "for an unknown time"
    seconds = int(held)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"for {seconds // size} {unit}"
    return f"for {max(seconds, 0)} s"
