"""What a search is asked for, what it tries, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cloudmodel.optimize import front
from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.gate import Demand, Judged, Verdict
from cloudmodel.optimize.measure import LOOK, Effort, Measured
from cloudmodel.optimize.metrics import Metric
from cloudmodel.optimize.recipe import Recipe
from cloudmodel.optimize.workshop import Made

Objective = Literal["latency", "throughput", "size"]


@dataclass
class Trial:
    """A recipe and what is known of it so far. `reason` says why it was accepted or refused; `judged` is by the
    selection set; `final` is by the final set, for the one trial that was held to it."""

    id: str
    recipe: Recipe
    made: Made | None = None
    judged: Judged | None = None
    final: Judged | None = None
    ratio: Interval | None = None
    claim: str | None = None
    accepted: bool = False
    reason: str = ""

    @property
    def open(self) -> bool:
        """Whether nothing has refused it yet."""
        return self.made is not None and not self.reason


@dataclass(frozen=True)
class Early:
    """The first trial that passed the selection set and was measured: `after` seconds of search, its ratio and the
    noise floor of that short run."""

    id: str
    after: float
    ratio: Interval
    floor: Interval


@dataclass
class Found:
    """What a search found. `metric` and `judged` of the chosen trial, and the original's `metric`, are of the final
    set; `verdict` is the final gate's, None where no trial reached it."""

    trials: list[Trial] = field(default_factory=list)
    chosen: Trial | None = None
    reason: str = ""
    verdict: Verdict | None = None
    needed: int | None = None
    metric: float = 0.0
    measured: Measured | None = None
    early: Early | None = None
    sensitivity: list[dict[str, Any]] = field(default_factory=list)
    profile: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """What the project asks for. `recipes` None: those of `space` for the families of techniques; else only these.
    `budget` in seconds: no trial is begun after it."""

    metric: str
    demand: Demand
    objective: Objective
    recipes: tuple[Recipe, ...]
    training: tuple[Recipe, ...] = ()
    budget: float = 300.0
    effort: Effort = field(default_factory=Effort)
    look: Effort = LOOK


def said(ratio: Interval) -> str:
    """`1.92 [1.90, 1.94]`"""
    return f"{ratio.mid:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def standing(trial: Trial, metric: Metric) -> tuple[float, float, float, float]:
    """A timed trial's place among others, larger is better in each: the bound of its speed, metric, fidelity, size."""
    assert trial.ratio is not None
    assert trial.judged is not None
    assert trial.made is not None
    change = trial.judged.delta.mid if metric.larger_is_better else -trial.judged.delta.mid
    return trial.ratio.low, change, trial.judged.fidelity, -float(trial.made.size_bytes)


def front_of(found: Found, metric: Metric) -> list[str]:
    """The ids of the trials that passed and that no other of them beats."""
    passed = [trial for trial in found.trials if trial.accepted]
    points = [standing(trial, metric) for trial in passed]
    return [trial.id for trial, rank in zip(passed, front.ranks(points), strict=True) if rank == 0]
