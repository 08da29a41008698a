"""The report's drawing: every timed trial has its point, and no label covers another."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.optimize import report

RATIOS = st.floats(0.05, 20).map(lambda mid: {"low": mid * 0.97, "mid": mid, "high": mid * 1.03})
CHANGES = st.floats(-1, 1).map(lambda mid: {"low": mid - 0.01, "mid": mid, "high": mid + 0.01})


def document(trials: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    return {
        "trials": [
            {"id": f"t{number}", "title": "static-int8", "latency_ratio": ratio, "metric_delta": change}
            for number, (ratio, change) in enumerate(trials, 1)
        ],
        "noise_floor": {"low": 0.99, "high": 1.01},
        "front": [],
        "chosen": "t1",
    }


@given(st.lists(st.tuples(RATIOS, CHANGES), max_size=12))
def test_every_trial_is_named_once_and_no_label_covers_another(
    trials: list[tuple[dict[str, float], dict[str, float]]],
) -> None:
    chart = report.chart(document(trials))
    labels = chart["labels"]
    named = sorted(name for label in labels for name in label["text"].split(", "))
    assert named == sorted(point["id"] for point in chart["points"])
    places = [(label["x"], label["y"]) for label in labels]
    assert len(set(places)) == len(places)
    assert all(0 <= x <= report.WIDTH and 0 <= y <= report.HEIGHT for x, y in places)


def test_trials_in_one_place_share_a_label() -> None:
    ratio, change = {"low": 1.58, "mid": 1.59, "high": 1.6}, {"low": -0.01, "mid": 0.0, "high": 0.01}
    assert [label["text"] for label in report.chart(document([(ratio, change)] * 3))["labels"]] == ["t1, t2, t3"]
