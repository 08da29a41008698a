"""Every ONNX technique on small models: what it changes is counted, and what it cannot do is said beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import optimize_parts as parts
from cloudmodel.core.errors import CloudmodelError, NothingChanged, ProjectInvalid, StepFailed
from cloudmodel.formats import onnx as formats
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import techniques
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.recipe import step
from cloudmodel.optimize.technique import Artifact, Evidence, Material
from onnx_models import save, value


class Bench:
    """Applies one technique to one model, as a child does."""

    def __init__(self, model: Path, work: Path, inputs: Any) -> None:
        self.before, self.work, self.inputs = Artifact(model), work, inputs
        signature = formats.signature(model)
        name = signature.inputs[0].name
        work.mkdir(parents=True, exist_ok=True)
        calibration = Dataset({name: inputs}, None, None, "train.npz").write(work / "calibration.npz")
        self.material = Material(signature, calibration=calibration)
        self.runs = 0

    def refusal(self, technique: str, **parameters: Any) -> str | None:
        return techniques.find(technique).inapplicable(
            self.before, self.material, step(technique, **parameters).values()
        )

    def apply(self, technique: str, **parameters: Any) -> tuple[Path, Evidence]:
        found, values = techniques.find(technique), step(technique, **parameters).values()
        assert found.inapplicable(self.before, self.material, values) is None
        self.runs += 1
        folder = self.work / f"run-{self.runs}"
        folder.mkdir()
        after = found.apply(self.before, self.material, values, folder)
        assert after.model == folder / "model.onnx"
        assert sorted(path.name for path in folder.iterdir()) == ["model.onnx"]
        return after.model, found.prove(self.before, after)

    def check_same(self, model: Path) -> None:
        left, right = (parts.answers(path, self.inputs) for path in (self.before.model, model))
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)

    def cosine(self, model: Path) -> float:
        left, right = (parts.answers(path, self.inputs).ravel() for path in (self.before.model, model))
        return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


@pytest.fixture
def image(tmp_path: Path) -> Bench:
    return Bench(parts.convolutions(tmp_path / "conv.onnx"), tmp_path / "work", parts.rows(40, (3, 16, 16)))


@pytest.fixture
def flat(tmp_path: Path) -> Bench:
    return Bench(parts.mlp(tmp_path / "mlp.onnx"), tmp_path / "work", parts.rows(40, (16,)))


@pytest.mark.parametrize("technique", ["slim", "onnxoptimizer", "onnxscript", "ort-basic"])
def test_graph_tools_leave_the_answers_and_take_nodes_away(image: Bench, technique: str) -> None:
    model, evidence = image.apply(technique)
    assert evidence.counts["nodes_after"] < evidence.counts["nodes_before"] == 9
    image.check_same(model)
    again, _ = image.apply(technique)
    assert again.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("technique", ["slim", "onnxoptimizer", "onnxscript", "ort-basic"])
def test_step_that_changes_nothing_is_refused(tmp_path: Path, image: Bench, technique: str) -> None:
    once, _ = image.apply(technique)
    again = Bench(once, tmp_path / "again", image.inputs)
    with pytest.raises(NothingChanged, match="changed nothing"):
        again.apply(technique)


@pytest.mark.parametrize("version", [16, 18, 20, 21])
def test_operator_set_is_what_the_file_then_declares(flat: Bench, version: int) -> None:
    model, evidence = flat.apply("opset", version=version)
    assert parts.opset_of(model) == version == evidence.counts["opset_after"]
    assert onnx.load(model).ir_version <= 10
    onnx.checker.check_model(str(model), full_check=True)
    np.testing.assert_allclose(
        parts.answers(model, flat.inputs), parts.answers(flat.before.model, flat.inputs), rtol=1e-5
    )


def test_operator_set_above_18_goes_through_the_converter_that_mislabels_a_model_proto(
    tmp_path: Path, flat: Bench
) -> None:
    middle, _ = flat.apply("opset", version=18)
    model, _ = Bench(middle, tmp_path / "up", flat.inputs).apply("opset", version=21)
    assert parts.opset_of(model) == 21
    assert "already" in (Bench(model, tmp_path / "same", flat.inputs).refusal("opset", version=21) or "")


def test_fusions_are_counted(tmp_path: Path) -> None:
    bench = Bench(parts.with_attention(tmp_path / "a.onnx"), tmp_path / "work", parts.rows(4, (8, 32)))
    model, evidence = bench.apply("fuse-transformer")
    assert evidence.counts["fusions"] >= 1
    assert "SkipLayerNormalization" in onnx_files.census(model).operators
    np.testing.assert_allclose(
        parts.answers(model, bench.inputs), parts.answers(bench.before.model, bench.inputs), atol=1e-4
    )
    with pytest.raises(NothingChanged, match="of at least 50 fusions"):
        bench.apply("fuse-transformer", at_least=50)


def test_fusion_of_what_is_no_transformer_is_refused_before(flat: Bench) -> None:
    assert "no transformer" in (flat.refusal("fuse-transformer") or "")


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_static_int8_quantizes_every_node_with_weights(image: Bench, method: str, per_channel: bool) -> None:
    model, evidence = image.apply("static-int8", method=method, per_channel=per_channel)
    assert evidence.counts["quantized"] >= 6
    assert evidence.counts["weight_bytes_after"] < 0.35 * evidence.counts["weight_bytes_before"]
    assert image.cosine(model) > 0.98
    again, _ = image.apply("static-int8", method=method, per_channel=per_channel)
    assert again.read_bytes() == model.read_bytes()


def test_excluded_nodes_stay_float(image: Bench) -> None:
    model, _ = image.apply("static-int8", exclude=["conv1"])
    graph = onnx.load(model).graph
    constants = {tensor.name: tensor.data_type for tensor in graph.initializer}
    conv = next(node for node in graph.node if node.name == "conv1")
    assert constants[conv.input[1]] == onnx.TensorProto.FLOAT
    with pytest.raises(StepFailed, match="no node 'conv3'") as caught:
        image.apply("static-int8", exclude=["conv3"])
    assert "conv1" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("technique", "parameters"),
    [
        ("dynamic-int8", {}),
        ("dynamic-int8", {"per_channel": False, "weights": "uint8"}),
        ("static-int8", {}),
        ("static-int8", {"activations": "int8", "symmetric": True}),
        ("weight-only", {"bits": 8}),
        ("weight-only", {"bits": 4, "accuracy": 0}),
    ],
)
@pytest.mark.parametrize("form", [{}, {"constants": True}, {"names": False}])
def test_matrix_models_are_quantized_however_their_weights_are_kept(
    tmp_path: Path, technique: str, parameters: dict[str, Any], form: dict[str, bool]
) -> None:
    bench = Bench(parts.mlp(tmp_path / "mlp.onnx", **form), tmp_path / "work", parts.rows(40, (16,)))
    model, evidence = bench.apply(technique, **parameters)
    assert evidence.counts["quantized"] >= 2
    assert bench.cosine(model) > 0.98
    assert bench.apply(technique, **parameters)[0].read_bytes() == model.read_bytes()


@pytest.mark.parametrize("form", [{}, {"constants": True}, {"names": False}])
def test_a_channel_far_above_the_others_goes_into_the_weights(tmp_path: Path, form: dict[str, bool]) -> None:
    inputs = parts.rows(64, (16,))
    bench = Bench(parts.mlp(tmp_path / "m.onnx", hurt=True, **form), tmp_path / "plain", inputs)
    smoothed, evidence = bench.apply("smooth")
    assert evidence.counts["smoothed"] == 1
    # powers of two: the same products, and the sums differ by the order alone
    np.testing.assert_allclose(parts.answers(bench.before.model, inputs), parts.answers(smoothed, inputs), rtol=1e-5)
    plain, _ = bench.apply("dynamic-int8")
    after, _ = Bench(smoothed, tmp_path / "smoothed", inputs).apply("dynamic-int8")
    assert bench.cosine(plain) < 0.99 < 0.999 < bench.cosine(after)


@pytest.mark.parametrize("technique", ["dynamic-int8", "static-int8", "weight-only"])
def test_quantized_model_is_not_quantized_again(tmp_path: Path, flat: Bench, technique: str) -> None:
    model, _ = flat.apply("dynamic-int8")
    assert "quantized already" in (Bench(model, tmp_path / "again", flat.inputs).refusal(technique) or "")


@pytest.mark.parametrize(
    ("technique", "parameters", "said"),
    [
        ("static-int8", {"activations": "int8", "weights": "uint8"}, "int8 activations need int8 weights"),
        ("static-int8", {"operators": ["Relu"]}, "operators must name one of"),
        ("static-int8", {"operators": ["Conv"]}, "the graph has none of Conv"),
        ("dynamic-int8", {"operators": ["Attention"]}, "the graph has none of Attention"),
    ],
)
def test_what_cannot_be_done_is_said_before_work_starts(
    flat: Bench, technique: str, parameters: dict[str, Any], said: str
) -> None:
    assert said in (flat.refusal(technique, **parameters) or "")


def test_computed_weights_are_named(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Transpose", ["x"], ["t"], name="turn"),
        onnx.helper.make_node("MatMul", ["x", "t"], ["y"], name="product"),
    ]
    ends = (value("x", 1, ["batch", 4]), value("y", 1, ["batch", "batch2"]))
    model = save(tmp_path / "m.onnx", nodes, [ends[0]], [ends[1]])
    bench = Bench(model, tmp_path / "work", parts.rows(8, (4,)))
    for technique in ("dynamic-int8", "static-int8", "weight-only"):
        assert "input 't' of MatMul 'product' is computed by Transpose 'turn'" in (bench.refusal(technique) or "")


def test_without_calibration_rows_static_int8_says_where_to_name_them(flat: Bench) -> None:
    technique = techniques.find("static-int8")
    bare = Material(flat.material.signature)
    assert "optimize.calibrate" in (technique.inapplicable(flat.before, bare, technique.parameters()) or "")


def test_zero_calibration_rows_are_refused_by_the_tensors_name(tmp_path: Path, flat: Bench) -> None:
    zero = Bench(flat.before.model, tmp_path / "zero", np.zeros((20, 16), np.float32))
    with pytest.raises(ProjectInvalid, match="'x' is zero in all 20") as caught:
        zero.apply("static-int8")
    assert "optimize.calibrate" in (caught.value.hint or "")


def test_ranges_are_kept_by_content_and_never_taken_for_another_model(
    tmp_path: Path, flat: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDMODEL_CALIBRATION_CACHE", str(tmp_path / "ranges"))
    alone, _ = flat.apply("static-int8")
    assert len(list((tmp_path / "ranges").iterdir())) == 1
    flat.apply("static-int8", per_channel=False)
    assert len(list((tmp_path / "ranges").iterdir())) == 1
    wide = onnx.load(flat.before.model)
    for tensor in wide.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 10, tensor.name))
    onnx.save(wide, tmp_path / "wide.onnx")
    other = Bench(tmp_path / "wide.onnx", tmp_path / "other", flat.inputs)
    shared, _ = other.apply("static-int8")
    assert len(list((tmp_path / "ranges").iterdir())) == 2
    monkeypatch.delenv("CLOUDMODEL_CALIBRATION_CACHE")
    fresh, _ = other.apply("static-int8")
    assert shared.read_bytes() == fresh.read_bytes() != alone.read_bytes()


@pytest.mark.parametrize(
    "technique",
    [name for name in sorted(techniques.TECHNIQUES) if techniques.find(name).family in ("graph", "quantize")],
)
def test_broken_file_is_our_own_error(tmp_path: Path, flat: Bench, technique: str) -> None:
    found, values = techniques.find(technique), step(technique).values()
    (tmp_path / "broken.onnx").write_bytes(flat.before.model.read_bytes()[:-40])
    (tmp_path / "out").mkdir()
    with pytest.raises(CloudmodelError):
        found.apply(Artifact(tmp_path / "broken.onnx"), flat.material, values, tmp_path / "out")
