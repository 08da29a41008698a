"""Bounds on how much worse a trial may be than the original, from paired answers to the same rows. One-sided, at the
confidence that the project asks for.

Exact: Clopper and Pearson, Biometrika 26 (1934). Score: Tango, Statistics in Medicine 17 (1998), for the difference of
two paired proportions. Bootstrap: percentiles over resampled rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, lgamma, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

RARE = 25
"""With fewer rows than this where the two disagree, approximations to the normal are not trusted."""
RESAMPLES = 2000
LEAST_ROWS = 30
"""A bootstrap over fewer rows says nothing."""
STEPS = 60
MOST_ROWS = 10_000_000


@dataclass(frozen=True)
class Interval:
    """`low` and `high` bound the value from each side, each at the asked confidence; `mid` is what was seen."""

    low: float
    mid: float
    high: float

    def as_json(self) -> dict[str, float]:
        """`{"low": …, "mid": …, "high": …}`"""
        return {"low": self.low, "mid": self.mid, "high": self.high}


def at_most(events: int, count: int, confidence: float) -> float:
    """The largest rate under which `events` or fewer in `count` are still seen with chance 1 - `confidence`.

    0 of 180 at 95 %: 0.0165.
    """
    if events >= count:
        return 1.0
    if events == 0:
        return 1 - float((1 - confidence) ** (1 / count))
    low, high = events / count, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(events, count, middle) > 1 - confidence else (low, middle)
    return high


def paired(losses: int, gains: int, count: int, confidence: float) -> Interval:
    """The change of a share of right answers: `losses` rows became wrong and `gains` became right, of `count`.

    Where the two rarely disagree the bounds are exact and leave the other side's rows out, which can only widen them;
    else they are Tango's.
    """
    mid = (gains - losses) / count
    if losses + gains < RARE:
        return Interval(-at_most(losses, count, confidence), mid, at_most(gains, count, confidence))
    return Interval(_tango(gains, losses, count, confidence, -1), mid, _tango(gains, losses, count, confidence, 1))


def rows_for(losses: int, gains: int, count: int, confidence: float, margin: float) -> int | None:
    """How many rows would show a drop below `margin` if the rates stayed as seen; None where no number would."""
    if (losses - gains) / count >= margin or margin <= 0:
        return None

    def shows(rows: int) -> bool:
        now = paired(ceil(losses * rows / count), int(gains * rows / count), rows, confidence)
        return -now.low < margin

    low, high = count, count
    while not shows(high):
        low, high = high, high * 2
        if high > MOST_ROWS:
            return None
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def bootstrap(statistic: Callable[[NDArray[Any]], float], count: int, confidence: float, seed: int) -> Interval:
    """Percentiles of `statistic(rows)` over resampled row numbers, a few hundred times for a slow statistic."""
    random = np.random.default_rng(seed)
    mid = statistic(np.arange(count))
    found = np.array([statistic(random.integers(0, count, count)) for _ in range(RESAMPLES // 4)])
    low, high = np.quantile(found[np.isfinite(found)], [1 - confidence, confidence])
    return Interval(float(low), mid, float(high))


def bootstrap_mean(values: NDArray[Any], confidence: float, seed: int) -> Interval:
    """Percentiles of the mean of `values`."""
    random = np.random.default_rng(seed)
    step = max(1, 4_000_000 // max(1, len(values)))
    means: list[NDArray[Any]] = []
    for start in range(0, RESAMPLES, step):
        rows = random.integers(0, len(values), (min(step, RESAMPLES - start), len(values)))
        means.append(values[rows].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [1 - confidence, confidence])
    return Interval(float(low), float(values.mean()), float(high))


def rows_by_width(mid_drop: float, bound: float, count: int, margin: float) -> int | None:
    """How many rows would bring a bound, whose distance shrinks with their square root, below `margin`."""
    if mid_drop >= margin:
        return None
    needed = count * ((bound - mid_drop) / (margin - mid_drop)) ** 2
    return ceil(needed) if needed <= MOST_ROWS else None


def _tail(events: int, count: int, rate: float) -> float:
    """P(X <= events) for X binomial."""
    terms = [
        lgamma(count + 1) - lgamma(k + 1) - lgamma(count - k + 1) + k * log(rate) + (count - k) * log(1 - rate)
        for k in range(events + 1)
    ]
    top = max(terms)
    return exp(top) * sum(exp(term - top) for term in terms)


def _tango(gains: int, losses: int, count: int, confidence: float, side: int) -> float:
    """The difference at which the score statistic is just significant, below (`side` -1) or above what was seen."""
    border = NormalDist().inv_cdf(confidence)

    def score(delta: float) -> float:
        first = 2 * count
        second = -gains - losses + (2 * count - gains + losses) * delta
        third = -losses * delta * (1 - delta)
        rate = (sqrt(max(0.0, second**2 - 4 * first * third)) - second) / (2 * first)
        variance = count * (2 * rate + delta * (1 - delta))
        return (gains - losses - count * delta) / sqrt(variance) if variance > 0 else float("inf") * -side

    seen = (gains - losses) / count
    inner, outer = seen, float(side)
    for _ in range(STEPS):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if -side * score(middle) < border else (inner, middle)
    return outer
