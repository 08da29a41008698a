"""What a scan may cost, whatever the file promises: one budget for a file and all that is nested in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cloudmodel.core.tar import Budget as Limits

DEPTH = 6
ARCHIVE = Limits()
"""What any archive may cost, wherever one is opened."""
SECONDS = 1800.0
OBJECTS = 4_000_000
FINDINGS = 100


class Exhausted(Exception):
    """The budget is spent; `reason` says which part of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Budget:
    """Counters that only go up. `packed` is the size in bytes of the outermost file: what is unpacked from it may be
    `ARCHIVE.ratio` times as much (beyond `ARCHIVE.free` bytes: small constant files are honest and compress well)."""

    packed: int
    clock: Callable[[], float] = time.monotonic
    members: int = 0
    unpacked: int = 0
    objects: int = 0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def enter(self, depth: int) -> None:
        """One more file, `depth` containers deep. Raises Exhausted."""
        self.members += 1
        if self.members > ARCHIVE.members:
            raise Exhausted(f"it holds more than {ARCHIVE.members:,} files")
        if depth > DEPTH:
            raise Exhausted(f"it is nested more than {DEPTH} deep")
        self._in_time()

    def unpack(self, size: int) -> None:
        """`size` more bytes came out of an archive. Raises Exhausted."""
        self.unpacked += size
        limit = min(ARCHIVE.bytes, max(ARCHIVE.free, self.packed * ARCHIVE.ratio))
        if self.unpacked > limit:
            raise Exhausted(f"it unpacks to more than the {limit:,} bytes that it may")
        self._in_time()

    def build(self, count: int = 1) -> None:
        """A pickle makes `count` more objects. Raises Exhausted."""
        self.objects += count
        if self.objects > OBJECTS:
            raise Exhausted(f"it makes more than {OBJECTS:,} objects")
        if self.objects % 4096 == 0:
            self._in_time()

    def _in_time(self) -> None:
        if self.clock() - self.began > SECONDS:
            raise Exhausted(f"the scan took more than {SECONDS:.0f} seconds")
