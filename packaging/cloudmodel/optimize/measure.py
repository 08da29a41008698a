"""Latency of trials against the original, in several fresh processes, with the noise floor of the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cloudmodel.core import confined
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.optimize import ratios
from cloudmodel.optimize.bounds import Interval

FUNCTION = "cloudmodel.optimize.stopwatch:run"
PROCESSES = 3
START = 60.0
"""Seconds that a process may take to load its sessions, beyond the time for measuring."""


@dataclass(frozen=True)
class Effort:
    """How much measuring: fresh processes, blocks in each, and seconds for the blocks of one process beyond the first
    few; with `hopeful` no more processes where no trial was faster in one."""

    processes: int = PROCESSES
    rounds: int = 30
    seconds: float = 20.0
    hopeful: bool = False


GLANCE = Effort(processes=1, rounds=8, seconds=3.0)
"""Enough to drop what is clearly slower."""
LOOK = Effort(seconds=1.0, hopeful=True)
"""Enough to tell early of a clear gain, in as many processes as count: few blocks of a slow model, many of a fast."""


@dataclass(frozen=True)
class Measured:
    """What one run found: the ratio original / trial of each trial's time (above 1 is faster), the control's interval,
    the original's median latency in ms, the worst conditions met, and why the run is void, if it is."""

    ratios: tuple[Interval, ...]
    floor: Interval
    latency_ms: float
    conditions: Mapping[str, float]
    void: str | None

    def claim(self, number: int) -> str:
        """`faster`, `slower`, `same`, or `inconclusive` where the machine was too busy to tell."""
        ratio = self.ratios[number]
        stolen = self.conditions["steal"] > ratios.MOST_STEAL
        if self.void and (stolen or not ratios.far(ratio, self.floor)):
            return "inconclusive"
        said = ratios.claim(ratio, self.floor)
        return "inconclusive" if said == "same" and not ratios.quiet(self.floor) else said


def measure(
    original: Path,
    trials: Sequence[Path],
    inputs: Path,
    folder: Path,
    *,
    effort: Effort = Effort(),  # frozen
    threads: int = 1,
    confidence: float = 0.95,
    seed: int = 0,
    report: Report = silent,
) -> Measured:
    """Time `trials` against `original` on one request, the npz file `inputs`. Raises ChildDied, StepFailed."""
    answers: list[dict[str, Any]] = []
    for number in range(effort.processes):
        report(Progress("measure", number, effort.processes, f"{len(trials)} trials"))
        job = {
            "original": str(original), "trials": [str(path) for path in trials], "inputs": str(inputs),
            "rounds": effort.rounds, "seconds": effort.seconds, "threads": threads, "seed": seed + number,
            "warm": answers[0]["warm"] if answers else None,  # as the first process: they are joined
        }  # fmt: skip
        limit = START * (2 + len(trials)) + effort.seconds * 3
        answers.append(confined.run(FUNCTION, job, folder=folder / f"process-{number}", seconds=limit))
        if effort.hopeful and not any(median(blocks) > 0 for blocks in answers[-1]["trials"]):
            break
    report(Progress("measure", effort.processes, effort.processes))
    return summarize(answers, len(trials), confidence, seed)


def summarize(answers: Sequence[Mapping[str, Any]], trials: int, confidence: float, seed: int) -> Measured:
    """Join what the processes found."""
    floor = ratios.interval([answer["control"] for answer in answers], confidence, seed)
    conditions = {name: max(answer["conditions"][name] for answer in answers) for name in ("steal", "switches", "load")}
    latencies = sorted(answer["latency_ms"] for answer in answers)
    return Measured(
        ratios=tuple(
            ratios.interval([answer["trials"][number] for answer in answers], confidence, seed + number + 1)
            for number in range(trials)
        ),
        floor=floor,
        latency_ms=latencies[len(latencies) // 2],
        conditions=conditions,
        void=ratios.noisy(floor, conditions["steal"]),
    )
