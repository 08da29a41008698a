"""Which nodes rounding hurts most, by both quantizers; the names that come out are names that can be left float."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimize_parts as parts
from cloudmodel.core.progress import silent
from cloudmodel.formats import onnx, onnx_files
from cloudmodel.optimize import recipe, sensitivity, trial
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.fidelity import expected_cosines, worst_cosines
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.techniques import find


def quantized(technique: str, model: Path, folder: Path, calibration: Path, **parameters: Any) -> Path:
    folder.mkdir()
    step = recipe.step(technique, **parameters)
    material = Material(signature=onnx.signature(model), calibration=calibration)
    return find(technique).apply(Artifact(model), material, step.values(), folder).model


@pytest.mark.parametrize("technique", ["static-int8", "dynamic-int8"])
def test_the_node_with_an_outlier_is_the_worst_and_can_be_left_float(technique: str, tmp_path: Path) -> None:
    model = parts.mlp(tmp_path / "model.onnx")
    rows = Dataset({"x": parts.rows(64, (16,))}, None, None, "rows")
    rows.inputs["x"][:, 0] *= 200  # one value stretches the range that the first node reads
    calibration = rows.write(tmp_path / "rows.npz")
    made = quantized(technique, model, tmp_path / "made", calibration, per_channel=False)
    (tmp_path / "prepared").mkdir()
    ranked = sensitivity.rank(checks.prepare(model, tmp_path / "prepared"), made, rows)
    assert len(ranked) == 2
    assert ranked[0].sqnr < ranked[1].sqnr < 60
    assert ranked[0].name == "first/MatMulAddFusion"
    less = quantized(technique, model, tmp_path / "less", calibration, per_channel=False, exclude=(ranked[0].name,))
    assert 0 < onnx_files.census(less).quantized < onnx_files.census(made).quantized


def test_nodes_of_a_smoothed_model_are_ranked_by_what_smoothing_left(tmp_path: Path) -> None:
    model = parts.mlp(tmp_path / "model.onnx", hurt=True)
    calibration = Dataset({"x": parts.rows(64, (16,))}, None, None, "rows").write(tmp_path / "rows.npz")
    smoothed = quantized("smooth", model, tmp_path / "smoothed", calibration)
    made = quantized("dynamic-int8", smoothed, tmp_path / "made", calibration)
    both = recipe.Recipe(steps=(recipe.step("smooth"), recipe.step("dynamic-int8")))
    material = Material(signature=onnx.signature(model), calibration=calibration)
    job = {
        "recipe": both.as_json(), "artifact": trial.artifact_to(Artifact(model)), "quantized": str(made),
        "material": trial.material_to(material), "checkpoints": str(tmp_path / "checkpoints"),
    }  # fmt: skip
    ranked = trial.rank(job, silent)["nodes"]
    assert min(node["sqnr_db"] for node in ranked) > 30  # beside weights that were not smoothed, about 0
    less = quantized("dynamic-int8", smoothed, tmp_path / "less", calibration, exclude=(ranked[0]["name"],))
    assert onnx_files.census(less).quantized < onnx_files.census(made).quantized


def few_turn_far(random: np.random.Generator) -> Any:
    """Angles whose 1 - cosine has a tail of Pareto, with exponent 2."""
    return np.arccos(1 - np.minimum(2, 1e-4 * random.uniform(size=5000) ** -0.5))


@pytest.mark.parametrize("draw", [lambda random: np.exp(random.normal(-2.5, 0.5, 5000)), few_turn_far])
def test_the_worst_of_many_rows_is_expected_from_few(draw: Callable[[np.random.Generator], Any]) -> None:
    kept = 0
    for seed in range(20):
        angles = draw(np.random.default_rng(seed))
        original = {"vector": np.tile([1.0, 0.0], (5000, 1))}
        trial = {"vector": np.stack([np.cos(angles), np.sin(angles)], axis=1)}
        few = {"vector": trial["vector"][:200]}
        expected = expected_cosines({"vector": original["vector"][:200]}, few, 5000)["vector"]
        assert expected <= worst_cosines({"vector": original["vector"][:200]}, few)["vector"]
        kept += worst_cosines(original, trial)["vector"] >= expected
    assert 12 <= kept <= 20


def test_probabilities_are_never_expected_to_turn_round() -> None:
    """A forest that was pruned: most rows turn a little, a few by a third."""
    random = np.random.default_rng(5)
    sure = random.beta(2, 1, 1000)
    less = np.clip(sure - random.exponential(0.1, 1000), 0.01, 0.99)
    original, trial = ({"p": np.stack([each, 1 - each], axis=1)} for each in (sure, less))
    few, fewer = ({"p": answers["p"][:100]} for answers in (original, trial))
    expected = expected_cosines(few, fewer, 1000)["p"]
    assert 0 < expected <= worst_cosines(original, trial)["p"] + 0.05


def test_rows_that_did_not_turn_are_no_reason_to_expect_worse() -> None:
    original = {"scores": np.tile([1.0, 0.5], (100, 1)), "id": np.arange(100)}
    trial = {"scores": np.where(np.arange(100)[:, None] < 5, [0.9, 0.6], [1.0, 0.5]), "id": np.arange(100)}
    assert expected_cosines(original, trial, 10_000) == worst_cosines(original, trial)
    assert expected_cosines(original, original, 10_000) == {"scores": 1.0}
