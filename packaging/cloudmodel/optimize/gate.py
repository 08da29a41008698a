"""The gate: is a trial as good as the original, within what the project allows, on rows that nobody trained on?

Paired non-inferiority: both answer the same rows; what counts is the bound on the drop, not the drop that was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.optimize import bounds, metrics
from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.fidelity import worst_cosines
from cloudmodel.optimize.metrics import Metric, Outputs
from cloudmodel.optimize.technique import SEED

Array = NDArray[Any]


class Verdict(StrEnum):
    """What the data say."""

    MET = "met"
    MISSED = "missed"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True)
class Demand:
    """What must hold: the largest drop in the metric's unit, the confidence of its bound, and the smallest cosine of
    any row of any float output against the original."""

    max_drop: float = 0.01
    confidence: float = 0.95
    min_fidelity: float = 0.98


@dataclass(frozen=True)
class Judged:
    """A trial against the original on one set of rows.

    `metric` is the trial's number; `delta` its difference to the original's, trial - original, each bound at the
    demanded confidence. `fidelity` is the worst cosine of any float output (1 where there is none), `fidelities` of
    each. `losses` and `gains` count rows that became wrong and right, `churn` is the share of rows whose answer
    changed, `worst_class` the label that lost most. `needed` rows (queries, for metrics of order) would decide what
    these could not.
    """

    verdict: Verdict
    reason: str
    metric: float
    delta: Interval
    fidelity: float
    fidelities: dict[str, float]
    rows: int
    needed: int | None = None
    losses: int | None = None
    gains: int | None = None
    churn: float | None = None
    worst_class: dict[str, Any] | None = None


def judge(metric: Metric, original: Outputs, trial: Outputs, data: Dataset, demand: Demand) -> Judged:
    """Hold a trial's answers to the original's. Raises nothing for answers of the same form."""
    before, after = metric.total(original, data), metric.total(trial, data)
    cosines = worst_cosines(original, trial)
    fidelity = min(cosines.values(), default=1.0)
    facts: dict[str, Any] = {}
    if metric.correct is not None:
        right = metric.correct(original, data), metric.correct(trial, data)
        facts = _changes(right, data)
    delta = _delta(metric, original, trial, data, demand.confidence, facts, after - before)
    drop, bound = (-delta.mid, -delta.low) if metric.larger_is_better else (delta.mid, delta.high)
    verdict, reason, needed = _decide(metric, drop + 0.0, bound, data, facts, demand)  # + 0.0: a drop of -0 is 0
    if fidelity < demand.min_fidelity:
        name = min(cosines, key=lambda each: cosines[each])
        verdict, needed = Verdict.MISSED, None
        reason = f"fidelity: the worst cosine of output {name!r} is {fidelity:.4f}, below {demand.min_fidelity:g}"
    return Judged(
        verdict=verdict, reason=reason, metric=after, delta=delta, fidelity=fidelity, fidelities=cosines,
        rows=len(data), needed=needed, churn=_churn(original, trial), **facts,
    )  # fmt: skip


def _delta(
    metric: Metric, original: Outputs, trial: Outputs, data: Dataset, confidence: float, facts: dict[str, Any],
    seen: float,
) -> Interval:  # fmt: skip
    count = len(data)
    exact = bounds.paired(facts["losses"], facts["gains"], count, confidence) if facts else None
    if exact is not None and metric.name != "f1":
        return exact
    if metric.loss is not None:
        found = _mean_delta(metric, original, trial, data, confidence)
    else:
        found = bounds.bootstrap(_difference(metric, original, trial, data), _units(metric, data), confidence, SEED)
    if exact is not None:
        return Interval(min(found.low, exact.low), seen, max(found.high, exact.high))
    if found.low == found.high:
        # No row changed, so resampling sees no risk; that a row in the next thousand changes is not excluded.
        rate = bounds.at_most(0, _units(metric, data), confidence)
        return Interval(seen - rate, seen, seen + rate)
    return found


def _mean_delta(metric: Metric, original: Outputs, trial: Outputs, data: Dataset, confidence: float) -> Interval:
    assert metric.loss is not None
    before, after = metric.loss(original, data), metric.loss(trial, data)
    if metric.name != "rmse":
        return bounds.bootstrap_mean(after - before, confidence, SEED)

    def difference(rows: Array) -> float:
        return float(after[rows].mean() ** 0.5 - before[rows].mean() ** 0.5)

    return bounds.bootstrap(difference, len(data), confidence, SEED)


def _units(metric: Metric, data: Dataset) -> int:
    """What is resampled: queries where there are any and the metric is no mean over rows, else rows."""
    queries = _queries(metric, data)
    return len(data) if queries is None else len(np.unique(queries))


def _queries(metric: Metric, data: Dataset) -> Array | None:
    return data.groups if metric.correct is None and metric.loss is None else None


def _difference(metric: Metric, original: Outputs, trial: Outputs, data: Dataset) -> Any:
    """The change of the metric on the resampled units."""
    members = None
    if (queries := _queries(metric, data)) is not None:
        _, inverse = np.unique(queries, return_inverse=True)
        members = [np.flatnonzero(inverse == one) for one in range(inverse.max() + 1)]

    def difference(units: Array) -> float:
        rows = units if members is None else np.concatenate([members[one] for one in units])
        picked = data.take(rows)
        if members is not None:  # a query that is drawn twice counts twice
            sizes = [len(members[one]) for one in units]
            picked = Dataset(picked.inputs, picked.labels, np.repeat(np.arange(len(units)), sizes), picked.where)
        sides = [{name: array[rows] for name, array in outputs.items()} for outputs in (original, trial)]
        return metric.total(sides[1], picked) - metric.total(sides[0], picked)

    return difference


def _changes(right: tuple[Array, Array], data: Dataset) -> dict[str, Any]:
    before, after = right
    lost, won = before & ~after, ~before & after
    labels = np.asarray(data.labels).reshape(len(data), -1)[:, 0]
    worst: dict[str, Any] | None = None
    for label in np.unique(labels):
        rows = labels == label
        drop = float((lost[rows].sum() - won[rows].sum()) / rows.sum())
        if worst is None or drop > worst["drop"]:
            worst = {"label": str(label), "drop": drop, "rows": int(rows.sum())}
    return {"losses": int(lost.sum()), "gains": int(won.sum()), "worst_class": worst}


def _decide(
    metric: Metric, drop: float, bound: float, data: Dataset, facts: dict[str, Any], demand: Demand
) -> tuple[Verdict, str, int | None]:
    margin, word = demand.max_drop, f"{demand.confidence:.0%}"
    units, kind = _units(metric, data), "rows" if _queries(metric, data) is None else "queries"
    if metric.correct is None and units < bounds.LEAST_ROWS:
        return (
            Verdict.UNDECIDABLE,
            f"{units} {kind} are too few, at least {bounds.LEAST_ROWS} are needed",
            bounds.LEAST_ROWS,
        )
    if bound < margin:
        return (
            Verdict.MET,
            f"{metric.name} {metric.worsens} by less than {bound:.4g} ({word} bound), allowed {margin:g}",
            None,
        )
    if drop >= margin > 0:
        return Verdict.MISSED, f"{metric.name} {metric.worsens} by {drop:.4g}, allowed {margin:g}", None
    if facts and metric.name != "f1":
        needed = bounds.rows_for(facts["losses"], facts["gains"], units, demand.confidence, margin)
    else:
        needed = bounds.rows_by_width(drop, bound, units, margin)
    more = f"; about {needed} {kind} would tell" if needed else "; no number of rows can show no drop at all"
    seen = f"{metric.name} {metric.worsens} by {drop:.4g}, but {units} {kind} bound it only by {bound:.4g} ({word})"
    return Verdict.UNDECIDABLE, f"{seen}, allowed {margin:g}{more}", needed


def _churn(original: Outputs, trial: Outputs) -> float | None:
    """The share of rows whose class changed, whatever the label says; None where the first output is no class."""
    first = next(iter(original.values()))
    if first.dtype.kind == "f" and not (first.ndim == 2 and first.shape[1] >= 2):
        return None
    read = metrics.predicted(original)
    return float((read(original) != read(trial)).mean())
