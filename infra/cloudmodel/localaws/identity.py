"""Which process is the local AWS: `server.json`, and whether the process that it names still lives."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cloudmodel.core.files import write_text

FILE = "server.json"
HOST = "127.0.0.1"
ACCOUNT = "123456789012"  # moto's own


@dataclass(frozen=True)
class Running:
    """A local AWS that answers. `instance_id` is another one after each start and reset: moto forgets everything."""

    endpoint_url: str
    pid: int
    region: str
    instance_id: str


@dataclass(frozen=True)
class Record:
    """The content of `server.json`. `pid_started` tells a process from a later one that was given its number."""

    pid: int
    pid_started: str
    port: int
    region: str
    instance_id: str

    @property
    def running(self) -> Running:
        """What callers see of it."""
        return Running(f"http://{HOST}:{self.port}", self.pid, self.region, self.instance_id)

    @property
    def alive(self) -> bool:
        """Whether the very process that wrote this record still runs."""
        return started(self.pid) == self.pid_started

    def write(self, home: Path) -> None:
        """Write it to `home`, readable for its owner only."""
        write_text(home / FILE, json.dumps(asdict(self), indent=2) + "\n", mode=0o600)


def read(home: Path) -> Record | None:
    """The record in `home`; None where there is none or where it is not one."""
    try:
        return Record(**json.loads((home / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def started(pid: int) -> str | None:
    """When process `pid` began, in the system's own terms; None when it has ended (a zombie has)."""
    if not Path("/proc/self/stat").exists():
        return _started_by_ps(pid)
    try:
        # The name in parentheses may hold anything; what follows it is the state (field 3) up to the start (22).
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _started_by_ps(pid: int) -> str | None:
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, when = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else when.strip()


def listener(port: int) -> str | None:
    """Who listens on `port` of this machine, as `process 123 (name)`; None where that cannot be found out."""
    sockets = set(_listening_inodes(port))
    for folder in Path("/proc").glob("[0-9]*"):
        if not sockets.isdisjoint(_open_files(folder)):
            with contextlib.suppress(OSError):
                return f"process {folder.name} ({(folder / 'comm').read_text().strip()})"
    return None


def _open_files(process: Path) -> Iterator[str]:
    """What a process has open; nothing of another user's process or of one that has just ended."""
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):  # closed since it was listed: the others are still of interest
            yield str(entry.readlink())


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = [row.split() for row in table.read_text().splitlines()[1:]]
        except OSError:
            continue
        found += [f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]
    return found
