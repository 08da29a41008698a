"""A command with everything that it starts: wall time, CPU time, and the peak of the memory of the whole tree."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

INTERVAL = 0.25


@dataclass(frozen=True)
class Measured:
    """Seconds, and bytes of proportional memory (PSS: a page that several share counts once)."""

    wall: float
    cpu: float
    peak: int

    @staticmethod
    def wall_of(several: Sequence[Measured]) -> float:
        """The median wall time."""
        return median(each.wall for each in several)

    @staticmethod
    def row(several: Sequence[Measured]) -> str:
        """Medians, and the range of the wall time."""
        walls = [each.wall for each in several]
        spread = f"[{min(walls):.2f}-{max(walls):.2f}]"
        cpu, peak = median(each.cpu for each in several), median(each.peak for each in several)
        return f"{median(walls):7.2f} {spread:16} {cpu:7.2f} {peak / 1e6:6.0f}"


def watched(command: list[str], **more: Any) -> Measured:
    """Run `command` to its end. Raises AssertionError with its output unless it succeeds."""
    before, began = _cpu(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(INTERVAL):
            peak[0] = max(peak[0], _memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    wall = time.perf_counter() - began
    over.set()
    watcher.join()
    assert process.returncode == 0, f"{command}: {output.decode()}"
    return Measured(wall, _cpu() - before, peak[0])


def _cpu() -> float:
    """Of all children that have ended, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(root: int) -> int:
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        with suppress(OSError, StopIteration, ValueError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += int(next(line for line in rollup if line.startswith("Pss:")).split()[1]) * 1024
    return total
