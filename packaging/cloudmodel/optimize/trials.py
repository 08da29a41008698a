"""What a search is asked for, what it tries, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.gate import Demand, Judged, Verdict
from cloudmodel.optimize.measure import LOOK, Effort, Measured
from cloudmodel.optimize.metrics import Metric
from cloudmodel.optimize.recipe import Recipe
from cloudmodel.optimize.workshop import Made

SAME_FIDELITY = 0.001
"""Worst cosines of some hundred rows that are nearer than this are not told apart."""
SAME_SIZE = 0.02
"""Nor are sizes that differ by less than this share."""

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


def beats(one: Trial, other: Trial, metric: Metric) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better, where that can be told: speeds by intervals
    that are apart, fidelities by more than SAME_FIDELITY, sizes by more than SAME_SIZE of the larger."""
    assert one.ratio is not None
    assert other.ratio is not None
    left, right = standing(one, metric), standing(other, metric)
    metric_gap, fidelity_gap = left[1] - right[1], left[2] - right[2]
    size_gap = (left[3] - right[3]) / -min(left[3], right[3])
    worse = (other.ratio.low > one.ratio.high, metric_gap < 0, fidelity_gap < -SAME_FIDELITY, size_gap < -SAME_SIZE)
    better = (one.ratio.low > other.ratio.high, metric_gap > 0, fidelity_gap > SAME_FIDELITY, size_gap > SAME_SIZE)
    return any(better) and not any(worse)


def undominated(trials: Sequence[Trial], metric: Metric) -> list[Trial]:
    """The trials that no other of them beats; all, should each be beaten by another."""
    kept = [trial for trial in trials if not any(beats(other, trial, metric) for other in trials if other is not trial)]
    return kept or list(trials)


def front_of(found: Found, metric: Metric) -> list[str]:
    """The ids of the trials that passed and that no other of them beats."""
    return [trial.id for trial in undominated([trial for trial in found.trials if trial.accepted], metric)]
