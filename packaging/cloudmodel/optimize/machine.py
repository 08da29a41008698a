"""The machine that measures: which processor it is, what it multiplies fast, and how busy it was."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
STAT = Path("/proc/stat")
TELLING = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "sve",
    "bf16",
)
"""Processor flags that decide how fast 8-bit arithmetic is."""


def cpu() -> dict[str, Any]:
    """Architecture, model, telling flags and number of cores: what a latency was measured on."""
    model, flags = platform.processor() or "unknown", ""
    try:
        for line in CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = value
                break
    except OSError:
        flags = ""
    known = set(flags.split())
    return {
        "architecture": platform.machine(),
        "model": model,
        "flags": [flag for flag in TELLING if flag in known],
        "cores": len(os.sched_getaffinity(0)),
    }


def fingerprint() -> str:
    """The hex sha256 of `cpu()`: a latency is never taken over from a machine with another one."""
    return hashlib.sha256(repr(sorted(cpu().items())).encode()).hexdigest()


def int8() -> dict[str, Any]:
    """The parameters of `static-int8` for this processor.

    onnxruntime's own advice: x86 with VNNI takes uint8 activations and int8 weights in full range; x86 without it 7
    bits of weight, for its sums of two products saturate at 16 bits; Arm takes int8 for both, symmetric.
    """
    found = cpu()
    if found["architecture"] in ("aarch64", "arm64"):
        return {"activations": "int8", "weights": "int8", "symmetric": True, "reduce_range": False}
    fast = any(flag in found["flags"] for flag in ("avx512_vnni", "avx_vnni", "amx_int8"))
    return {"activations": "uint8", "weights": "int8", "symmetric": False, "reduce_range": not fast}


@dataclass(frozen=True)
class Moment:
    """Counters to take differences of."""

    total: int
    steal: int
    switches: int


def now() -> Moment:
    """The counters at this moment; zeros where the system has none."""
    try:
        fields = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        fields = [0] * 8
    return Moment(sum(fields), fields[7], resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)


def between(start: Moment, end: Moment) -> dict[str, float]:
    """`steal` as a share of all processor time, involuntary `switches` of this process, and the `load` average.

    Time is counted in ticks of 10 ms, so one tick may be none: in a run of half a second it would be more than 1 %.
    """
    return {
        "steal": max(0, end.steal - start.steal - 1) / max(1, end.total - start.total),
        "switches": end.switches - start.switches,
        "load": os.getloadavg()[0],
    }
