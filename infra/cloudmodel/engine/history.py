"""What was done to a stack: `history.ndjson`, two lines a run, so that one that never ended shows."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloudmodel.core.files import sync_folder

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
INTERRUPTED, IN_PROGRESS = "interrupted", "in-progress"


@dataclass(frozen=True)
class Entry:
    """One run. `result`: succeeded, failed, cancelled, interrupted (it never ended), in-progress. Times: ISO 8601.

    `bundle` and `revision` are what the stack served when it ended; empty where it served nothing.
    """

    version: int
    kind: str
    result: str
    started: str
    ended: str = ""
    message: str = ""
    summary: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    lock: str = ""
    bundle: str = ""
    revision: str = ""


def begin(path: Path, kind: str, message: str, environment: Mapping[str, str], lock: str) -> int:
    """Record that a run starts under the lock with this id; returns its version. Raises OSError."""
    version = max((entry.version for entry in read(path)), default=0) + 1
    fields = {"kind": kind, "message": message, "environment": dict(environment), "lock": lock}
    _append(path, {"version": version, "started": now(), **fields})
    return version


def end(path: Path, version: int, result: str, summary: Mapping[str, int], *, bundle: str, revision: str) -> None:
    """Record how it ended. Raises OSError."""
    stands = {name: value for name, value in (("bundle", bundle), ("revision", revision)) if value}
    what = {"result": result, "summary": dict(summary), **stands}
    _append(path, {"version": version, "ended": now(), **what})


def withdraw(path: Path, version: int) -> None:
    """Take back that a run started: it was refused before it did anything. Raises OSError."""
    _append(path, {"version": version, "withdrawn": True})


def read(path: Path, running: str = "") -> tuple[Entry, ...]:
    """All runs, oldest first; `running` is the id of the lock that is held now. Unreadable lines are left out."""
    entries: dict[int, Entry] = {}
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    for line in content.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            item: dict[str, Any] = json.loads(line)
            version = int(item.pop("version"))
            if item.pop("withdrawn", False):
                entries.pop(version, None)
            elif "started" in item:
                result = IN_PROGRESS if running and item["lock"] == running else INTERRUPTED
                entries[version] = Entry(version, result=result, **item)
            else:
                entries[version] = replace(entries[version], **item)
    return tuple(entries[version] for version in sorted(entries))


def now() -> str:
    """The time as it stands in histories and locks."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _append(path: Path, item: Mapping[str, Any]) -> None:
    line = json.dumps(item, sort_keys=True).encode() + b"\n"
    created = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a line cut by a crash must not swallow this one
        if os.write(descriptor, line) != len(line):
            raise OSError("the history could not be written in full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if created:
        sync_folder(path.parent)
