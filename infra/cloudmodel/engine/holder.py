"""Who holds a stack's lock, and whether that run lives: its process is looked for where it can be seen, else its last
sign of life counts (`engine.pulse`).
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from cloudmodel.engine.pulse import SILENT

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Owner:
    """Who holds a stack. `born` tells two processes with one pid apart; `namespace` two containers on one host.

    `beats` says that the lock is renewed, which earlier versions did not; `silent` is for how many seconds it was not,
    as who looks at it sees.
    """

    id: str
    generation: int
    owner: str
    host: str
    pid: int
    operation: str
    time: str
    born: str
    namespace: str
    beats: bool = False
    silent: float | None = field(default=None, compare=False)

    def describe(self) -> str:
        """`up by anna on build-7 (pid 4711), for 2 h, last sign of life 12 s ago`."""
        if self.id == UNREADABLE:
            return "an unreadable lock file"
        held = "an unknown time" if self.held is None else _span(self.held)
        sign = "" if self.silent is None else f", last sign of life {_span(self.silent)} ago"
        return f"{self.operation} by {self.owner} on {self.host} (pid {self.pid}), for {held}{sign}"

    @property
    def held(self) -> float | None:
        """Seconds since the lock was taken; None where it does not say when."""
        try:
            return (datetime.now(UTC) - datetime.fromisoformat(self.time)).total_seconds()
        except (ValueError, TypeError):
            return None

    @property
    def lives(self) -> bool:
        """Whether the holder is seen to run, or gave a sign of life lately; false where that cannot be known."""
        if self.here:
            return not has_ended(self)
        return self.silent is not None and self.silent <= SILENT

    @property
    def over(self) -> bool:
        """Whether the holder is known to have ended: seen from here, or by its silence."""
        return has_ended(self) or (not self.here and self.silent is not None and self.silent > SILENT)

    @property
    def here(self) -> bool:
        """Whether its process would be seen from here."""
        return self.id != UNREADABLE and self.host == socket.gethostname() and self.namespace == _namespace()

    def last_seen(self, seconds: float) -> Owner:
        """The holder of a lock that was renewed so many seconds ago."""
        return replace(self, silent=max(seconds, 0.0)) if self.beats else self


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


def read_owner(content: str | bytes) -> Owner:
    """Who a lock's content names; an owner called UNREADABLE where it names nobody."""
    try:
        document = json.loads(content)
        known = {name: kind(document[name]) for name, kind in _FIELDS.items()}
        return Owner(**known, beats=document.get("beats") is True)
    except (ValueError, KeyError, TypeError, AttributeError):
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
        beats=True,
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


def _span(duration: float) -> str:
    seconds = int(duration)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
