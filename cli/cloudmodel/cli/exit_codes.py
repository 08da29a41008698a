"""The exit codes of every verb: 0 to 9 as Pulumi publishes them, 10 and above ours.

`core.errors` gives each error its code; this table is what help and documentation say about it.
"""

from __future__ import annotations

from collections.abc import Iterable

DONE = 0
FAILED = 1
USAGE = 2
CANCELLED = 8
DRIFT = 11
UNSAFE = 14
BUG = 255

MEANINGS = {
    0: "done",
    1: "failed",
    2: "usage, project or settings invalid",
    3: "credentials",
    4: "a resource operation failed",
    5: "policy violation",
    6: "no such stack",
    7: "changes where none were expected",
    8: "cancelled",
    9: "timeout",
    10: "rolled back: the update did not land",
    11: "drift",
    12: "preflight: quota, permission, capacity or fit",
    14: "model or bundle unsafe, unknown, changed or unsigned",
    15: "gate not met (accuracy, fidelity, parity) or undecidable",
    16: "stack locked",
    17: "stale plan",
    255: "a bug in cloudmodel",
}


def legend(codes: Iterable[int]) -> str:
    """The line that ends a help text, such as `Exit codes: 0 done · 6 no such stack`."""
    return "Exit codes: " + " · ".join(f"{code} {MEANINGS[code]}" for code in sorted(codes))
