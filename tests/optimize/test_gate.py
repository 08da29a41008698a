"""The gate: what the rows can prove, what they cannot, and how far outputs turned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudmodel.optimize import gate, metrics
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.fidelity import worst_cosines
from cloudmodel.optimize.gate import Demand, Judged, Verdict


def judged(name: str, original: Any, trial: Any, labels: Any, **demand: Any) -> Judged:
    data = Dataset({"x": np.zeros((len(labels), 1), np.float32)}, np.asarray(labels), None, "data.npz")
    outputs = {"scores": np.asarray(original)}
    metric = metrics.fit(name, outputs, data, folder=Path())
    return gate.judge(metric, outputs, {"scores": np.asarray(trial)}, data, Demand(**{"min_fidelity": -1, **demand}))


def classes(count: int, wrong: int = 0, start: int = 0) -> Any:
    """Answers that are right for all but `wrong` rows from `start` on; labels are 0."""
    scores = np.tile(np.array([1.0, 0.0], np.float32), (count, 1))
    scores[start : start + wrong] = [0.0, 1.0]
    return scores


@pytest.mark.parametrize(
    ("rows", "before", "after", "verdict", "needed"),
    [
        (400, 0, 0, Verdict.MET, None),
        (180, 0, 0, Verdict.UNDECIDABLE, 299),
        (400, 0, 1, Verdict.UNDECIDABLE, range(401, 1000)),
        (400, 0, 8, Verdict.MISSED, None),
        (5000, 0, 30, Verdict.MET, None),
        (400, 8, 0, Verdict.MET, None),
    ],
)
def test_verdict_follows_from_the_bound(rows: int, before: int, after: int, verdict: Verdict, needed: Any) -> None:
    found = judged("accuracy", classes(rows, before), classes(rows, after), np.zeros(rows, int))
    assert found.verdict is verdict
    if isinstance(needed, range):
        assert found.needed in needed
    else:
        assert found.needed == needed
    assert found.delta.mid == pytest.approx((before - after) / rows)
    assert found.delta.low < found.delta.mid < found.delta.high


def test_no_drop_at_all_can_never_be_shown() -> None:
    found = judged("accuracy", classes(400), classes(400), np.zeros(400, int), max_drop=0.0)
    assert (found.verdict, found.needed) == (Verdict.UNDECIDABLE, None)
    assert "no number of rows" in found.reason


def test_churn_and_the_worst_class_show_what_the_mean_hides() -> None:
    labels = np.repeat([0, 1], 500)
    original = np.vstack([classes(500), classes(500)[:, ::-1]])
    trial = original.copy()
    trial[:5] = [0.0, 1.0]  # five of class 0 are lost
    original[5:10] = [0.0, 1.0]  # five others are won
    found = judged("accuracy", original, trial, labels)
    assert found.delta.mid == 0
    assert (found.losses, found.gains) == (5, 5)
    assert found.churn == pytest.approx(0.01)
    lost = judged("accuracy", np.vstack([classes(500), classes(500)[:, ::-1]]), trial, labels)
    assert lost.worst_class == {"label": "0", "drop": 0.01, "rows": 500}


@pytest.mark.parametrize(
    ("name", "noise", "verdict"),
    [
        ("mse", 0.001, Verdict.MET),
        ("mse", 1.0, Verdict.MISSED),
        ("rmse", 0.001, Verdict.MET),
        ("rmse", 1.0, Verdict.MISSED),
    ],
)
def test_smaller_is_better_for_losses(name: str, noise: float, verdict: Verdict) -> None:
    random = np.random.default_rng(2)
    labels = random.normal(size=2000)
    original = (labels + 0.1 * random.normal(size=2000)).astype(np.float32)
    trial = (original + noise * random.normal(size=2000)).astype(np.float32)
    found = judged(name, original, trial, labels)
    assert found.verdict is verdict


def test_few_rows_do_not_decide_a_mean() -> None:
    values = np.linspace(0, 1, 12, dtype=np.float32)
    assert judged("mse", values, values, values).verdict is Verdict.UNDECIDABLE


@pytest.mark.parametrize(("queries", "verdict"), [(20, Verdict.UNDECIDABLE), (400, Verdict.MET)])
def test_metrics_of_order_are_proven_by_queries_and_not_by_their_rows(queries: int, verdict: Verdict) -> None:
    random = np.random.default_rng(1)
    groups, scores = np.repeat(np.arange(queries), 20), random.normal(size=20 * queries)
    data = Dataset({"x": scores[:, None]}, random.integers(0, 2, 20 * queries), groups, "data.npz")
    outputs = {"scores": scores}
    found = gate.judge(metrics.fit("recall@10", outputs, data, folder=Path()), outputs, outputs, data, Demand())
    assert found.verdict is verdict
    assert found.delta.high == pytest.approx(1 - 0.05 ** (1 / queries))  # no query changed: the exact bound of so many


def test_fidelity_is_asked_of_every_output_and_stops_a_trial_whose_metric_is_perfect() -> None:
    data = Dataset({"x": np.zeros((400, 1), np.float32)}, np.zeros(400, int), None, "data.npz")
    vectors = np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32)
    turned = vectors.copy()
    turned[7] = np.roll(turned[7], 1)
    original, trial = ({"scores": classes(400), "vector": each} for each in (vectors, turned))
    metric = metrics.fit("accuracy", original, data, folder=Path())
    found = gate.judge(metric, original, trial, data, Demand())
    assert found.verdict is Verdict.MISSED
    assert "'vector'" in found.reason
    assert found.fidelities["scores"] == 1
    assert found.fidelity == found.fidelities["vector"] < 0.98


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ([[1, 0], [0, 1]], [[2, 0], [0, 3]], 1.0),
        ([[1, 0], [0, 1]], [[1, 0], [1, 0]], 0.0),
        ([[1, 0]], [[-1, 0]], -1.0),
        ([[0, 0]], [[0, 0]], 1.0),
        ([[0, 0]], [[1, 0]], 0.0),
        ([[1, 0]], [[float("nan"), 0]], -1.0),
        ([[float("inf"), 0]], [[float("inf"), 0]], 1.0),
        ([[1], [2]], [[1.1], [2.2]], 1.0),
        ([[1], [-2]], [[1], [2]], -0.6),
        ([[1, 2]], [[1, 2, 3]], -1.0),
    ],
)
def test_worst_cosine(left: Any, right: Any, wanted: float) -> None:
    found = worst_cosines({"y": np.array(left, np.float32)}, {"y": np.array(right, np.float32)})
    assert found["y"] == pytest.approx(wanted, abs=1e-6)
