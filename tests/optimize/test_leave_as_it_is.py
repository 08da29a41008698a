"""Models that 8 bits make slower: the right answer is to leave them as they are, with the reason. Really measured; a
machine that is too busy to tell must come to the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimize_parts as parts
from cloudmodel.formats import onnx
from cloudmodel.optimize.optimize import Outcome, Request, optimize
from mobilenet import mobilenet_v3_small


def outcome(folder: Path, model: Path, metric: str, **arrays: Any) -> Outcome:
    """The search over a model that is right by definition: the labels are its own answers."""
    np.savez(folder / "rows.npz", **arrays)
    return optimize(
        Request(
            model, onnx.signature(model), folder, "rows.npz", metric, folder / "cache", techniques=("quantize",),
        )
    )  # fmt: skip


@pytest.fixture(scope="module", params=["two-tower", "mobilenet"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp(str(request.param))
    random = np.random.default_rng(3)
    if request.param == "two-tower":
        model = parts.two_tower(folder / "model.onnx")
        pairs = {"user": random.integers(0, 943, 900), "item": random.integers(0, 1682, 900)}
        ratings = _answers(model, pairs).reshape(-1)
        return outcome(folder, model, "rmse", **pairs, labels=ratings + random.normal(0, 1, 900))
    model = mobilenet_v3_small(folder / "model.onnx")
    images = parts.rows(900, (3, 96, 96))
    return outcome(folder, model, "accuracy", image=images, labels=_answers(model, {"image": images}).argmax(1))


def _answers(model: Path, inputs: dict[str, Any]) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def test_slower_model_is_never_handed_over(left: Outcome) -> None:
    assert left.model is None
    assert left.provenance is None
    assert left.document["chosen"] is None
    assert left.document["reason"].startswith("leave it as it is")
    assert left.document["verdict"] is None


def test_every_recipe_was_tried_and_says_why_it_was_refused(left: Outcome) -> None:
    trials = left.document["trials"]
    assert len(trials) >= 4
    assert any(trial["latency_ratio"] for trial in trials)
    assert all(trial["reason"] and not trial["accepted"] for trial in trials)


def test_reason_says_where_the_time_goes(left: Outcome) -> None:
    shares = [node["share"] for node in left.document["profile"]]
    assert shares == sorted(shares, reverse=True)  # the slowest nodes; a large net has many small ones besides
    assert 0.3 < sum(shares) <= 1.0001
    if "inconclusive" not in left.document["reason"]:
        assert "spent in operators that 8 bits do not make faster" in left.document["reason"]
