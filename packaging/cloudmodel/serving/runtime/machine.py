"""What the machine gives this container."""

from __future__ import annotations

import os
from pathlib import Path

THREADS_VARIABLE = "CLOUDMODEL_THREADS"
CGROUP = Path("/sys/fs/cgroup")


def threads(cgroup: Path = CGROUP) -> int:
    """CLOUDMODEL_THREADS, else the cores that this process may use, within the container's CPU quota (rounded up)."""
    chosen = os.environ.get(THREADS_VARIABLE, "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return cores if quota is None else max(1, min(cores, quota))


def _quota(cgroup: Path) -> int | None:
    """Whole cores of the quota: `cpu.max` of version 2, `cpu/cpu.cfs_*` of version 1; None without one."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        return -(-int(quota) // int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max": no quota
        return None
