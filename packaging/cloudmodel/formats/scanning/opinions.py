"""Second opinions on a file's pickles: picklescan's and fickling's, where they are installed.

They can only make a verdict worse. They are asked in a process of its own, because what one of them does with a
hostile pickle is not ours to promise; if it breaks, or takes too long, the file is not clean. Of fickling only its
highest grade counts: below it, it calls every import of another package unsafe, so every honest estimator.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from cloudmodel.core import confined
from cloudmodel.formats.model import Finding

SCANNERS = ("picklescan", "fickling")
SECONDS = 60
MEMORY = 2 << 30
MAX_PICKLE = 4 << 20
"""Bytes of a pickle that are kept for them; a longer one, weights and not structure, is not shown to them."""
MAX_ALL = 16 << 20
"""Bytes of all pickles of one file."""
MAX_FICKLING = 256 << 10
"""Bytes that fickling is given: it makes a syntax tree, at a few hundred kB/s."""


@dataclass(frozen=True)
class Pickle:
    """A whole pickle (or several, one behind the other) and its place in the file."""

    where: str
    content: bytes


class Kept:
    """A stream that remembers what was read of it, up to MAX_PICKLE bytes."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._pieces: list[bytes] = []
        self._left = MAX_PICKLE

    def read(self, size: int = -1, /) -> bytes:
        return self._keep(self._stream.read(size))

    def readline(self, size: int = -1, /) -> bytes:
        return self._keep(self._stream.readline(size))

    def _keep(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left >= 0:
            self._pieces.append(data)
        else:
            self._pieces.clear()
        return data

    @property
    def content(self) -> bytes | None:
        """All that was read; None where it was more than is kept."""
        return b"".join(self._pieces) if self._left >= 0 else None


@functools.cache
def installed() -> tuple[str, ...]:
    """The scanners that are here."""
    return tuple(name for name in SCANNERS if importlib.util.find_spec(name) is not None)


def ask(pickles: list[Pickle]) -> list[Finding]:
    """What the installed scanners find in the first MAX_ALL bytes of pickles."""
    if not pickles or not installed():
        return []
    shown: list[Pickle] = []
    for each in pickles:
        if sum(len(kept.content) for kept in shown) + len(each.content) <= MAX_ALL:
            shown.append(each)
    request = json.dumps([[each.where, each.content.hex()] for each in shown]).encode()
    command = [sys.executable, "-P", "-m", "cloudmodel.formats.scanning.opinions", *installed()]
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, timeout=SECONDS, check=False, env=confined.bare()
        )
        rows = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        detail = f"{' and '.join(installed())}, asked for a second opinion, gave none"
        return [Finding(rule="second-opinion-failed", location="file", detail=detail)]
    return [Finding(rule=rule, location=where, detail=detail) for rule, where, detail in rows]


def _opinions(names: list[str], request: list[list[str]]) -> Iterator[tuple[str, str, str]]:
    """In the process of its own: (rule, place, what is said)."""
    asked = {"picklescan": _picklescan, "fickling": _fickling}
    for where, content in request:
        for name in names:
            try:
                for said in asked[name](bytes.fromhex(content)):
                    yield "second-opinion", where, f"{name} says: {said}"
            except Exception as error:  # whatever another scanner breaks of is no reason to call a file clean
                detail = f"{name} cannot read it: {type(error).__name__}: {error}"[:300]
                yield "second-opinion-failed", where, detail


def _picklescan(content: bytes) -> Iterator[str]:
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    file: IO[bytes] = io.BytesIO(content)
    result = scan_pickle_bytes(file, "file")
    for found in result.globals:
        if found.safety is SafetyLevel.Dangerous:
            yield f"{found.module}.{found.name} is dangerous"
    if result.scan_err:
        raise ValueError("an error while scanning")


def _fickling(content: bytes) -> Iterator[str]:
    from fickling.analysis import Severity, check_safety
    from fickling.fickle import StackedPickle

    if len(content) > MAX_FICKLING:
        return
    try:
        found = [check_safety(each) for each in StackedPickle.load(io.BytesIO(content))]
    except NotImplementedError:  # an opcode that it does not know yet is no opinion
        return
    for each in found:
        if each.severity >= Severity.OVERTLY_MALICIOUS:
            yield f"it is {each.severity.name.lower().replace('_', ' ')}"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.redirect_stdout(sys.stderr):  # both print as they read
        answer = list(_opinions(sys.argv[1:], json.load(sys.stdin)))
    json.dump(answer, sys.stdout)
