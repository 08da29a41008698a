"""How work under way is shown: bars on a terminal, plain lines on stderr where it is piped.

Whatever happens to stderr, the work goes on: a reader that left must not stop a deployment half-way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cloudmodel.cli.output import note, printable
from cloudmodel.core.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from cloudmodel.engine.step import Diagnostic, Event, StepEvent

COLOURS = {"error": "red", "warning": "yellow"}


class Lines:
    """Plain lines, one a moment worth telling. Is a `Report`, and has the `events` of an engine."""

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self.told: set[tuple[str, str]] = set()

    def __call__(self, progress: Progress, /) -> None:
        """A task is told when it begins and when it is complete; one of unknown length also by its notes."""
        complete = progress.total is not None and progress.done >= progress.total
        state = "done" if complete else progress.note if progress.total is None else ""
        if (progress.task, state) not in self.told:
            self.told.add((progress.task, state))
            self.line(f"{progress.task}: {state}" if state else progress.task)

    def events(self, event: Event, /) -> None:
        """A step that starts, ends or fails, and what the program or the engine says."""
        from cloudmodel.engine.step import Diagnostic

        if isinstance(event, Diagnostic):
            self.diagnostic(event)
        elif line := step_line(event):
            self.line(line)

    def diagnostic(self, event: Diagnostic) -> None:
        """What was said, with its severity; debug only where it was asked for."""
        if event.severity == "debug" and not self.debug:
            return
        subject = f"{event.urn.rsplit('::', 1)[-1]}: " if event.urn else ""
        prefix = "" if event.severity == "info" else f"{event.severity}: "
        self.line(f"{prefix}{subject}{event.message}", COLOURS.get(event.severity))

    def line(self, text: str, colour: str | None = None) -> None:
        """One line on stderr."""
        note(text, fg=colour)


class Live(Lines):
    """Bars on a terminal: one a task of a procedure, one for all steps of a run; finished steps stand above them."""

    def __init__(self, bars: Bars, *, debug: bool = False, total: int | None = None) -> None:
        super().__init__(debug=debug)
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.running: dict[str, str] = {}
        self.finished = 0
        self.total = total

    def __call__(self, progress: Progress, /) -> None:
        self.bar(progress.task, progress.done, progress.total, progress.note)

    def events(self, event: Event, /) -> None:
        from cloudmodel.engine.step import Op, Phase, StepEvent

        if isinstance(event, StepEvent) and event.step.op is not Op.SAME and event.phase is not Phase.PLANNED:
            if event.phase is Phase.STARTED:
                self.running[event.step.urn] = event.step.name
            else:
                self.running.pop(event.step.urn, None)
                self.finished += 1
                super().events(event)
            self.bar("resources", self.finished, self.total, ", ".join(self.running.values()))
        else:
            super().events(event)

    def bar(self, task: str, done: int, total: int | None, text: str) -> None:
        """Move a bar on; it appears when its task is first heard of."""
        with suppress(OSError, ValueError):
            if task not in self.tasks:
                self.tasks[task] = self.bars.add_task(printable(task), total=total, note="")
            self.bars.update(self.tasks[task], completed=done, total=total, note=printable(text))

    def line(self, text: str, colour: str | None = None) -> None:
        with suppress(OSError, ValueError):
            self.bars.console.print(printable(text), style=colour, markup=False, highlight=False, soft_wrap=True)


def step_line(event: StepEvent) -> str | None:
    """` + aws:s3:Bucket models created (0.44s)`; None for what is not worth a line."""
    from cloudmodel.cli.plan import LOOKS, hidden
    from cloudmodel.engine.step import Op, Phase
    from cloudmodel.engine.urn import short_type

    step = event.step
    if step.op is Op.SAME or hidden(step) or event.phase is Phase.PLANNED:
        return None
    look = LOOKS[step.op]
    word = {
        Phase.STARTED: f"{look.running} (0s){step.note}",
        Phase.DONE: f"{look.done} ({event.seconds:.2f}s){step.note}",
        Phase.FAILED: f"**{look.running} failed**" + (f" {event.message}" if event.message else ""),
    }[event.phase]
    return f" {look.sign.ljust(2)} {short_type(step.type)} {step.name} {word}"


@contextmanager
def reporting(*, debug: bool = False, total: int | None = None) -> Iterator[Lines]:
    """The reporter that fits stderr, for the length of one piece of work of `total` steps."""
    if not sys.stderr.isatty():
        yield Lines(debug=debug)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Live(bars, debug=debug, total=total)
