"""How long work tells its progress, without knowing who listens.

A procedure takes `report: Report = silent` and calls it; the CLI draws bars on a terminal and prints plain lines
in a pipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """One moment of long work: `done` of `total` units (`total` None where it is not known) of the named task."""

    task: str
    done: int = 0
    total: int | None = None
    note: str = ""


class Report(Protocol):
    """Receives progress; must return at once and never raise."""

    def __call__(self, progress: Progress, /) -> None: ...


def silent(_: Progress, /) -> None:
    """A report that nobody hears."""
