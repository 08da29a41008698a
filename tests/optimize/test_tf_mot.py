"""TF-MOT: a Keras 2 model learns to be rounded, and is int8 where it is served; a Keras 3 model is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import onnx_models
import optimize_parts as parts
from cloudmodel.formats import onnx, onnx_files
from cloudmodel.formats.factory import Source
from cloudmodel.optimize import techniques
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.fidelity import worst_cosines
from cloudmodel.optimize.recipe import Recipe, step
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.workshop import Workshop

LAYERS: Any = (
    ("InputLayer", {"name": "x", "batch_input_shape": [None, 8, 8, 1]}),
    ("Conv2D", {"name": "conv", "filters": 32, "kernel_size": [3, 3], "padding": "same"}),
    ("BatchNormalization", {"name": "norm"}),
    ("ReLU", {"name": "relu"}),
    ("Flatten", {"name": "flat"}),
    ("Dense", {"name": "y", "units": 10}),
)


def keras_2_file(file: Path, original: Path) -> None:
    """The file as Keras 2 writes it, and the same network node by node; to make either, TensorFlow is not needed."""
    drawn = np.random.default_rng(0)
    kernel, bias = drawn.normal(0, 0.3, (3, 3, 1, 32)), drawn.normal(0, 0.1, 32)
    norm = {"gamma": drawn.uniform(0.5, 2, 32), "beta": drawn.normal(0, 0.1, 32),
            "moving_mean": drawn.normal(0, 0.1, 32), "moving_variance": drawn.uniform(0.5, 2, 32)}  # fmt: skip
    dense, offset = drawn.normal(0, 0.05, (2048, 10)), drawn.normal(0, 0.1, 10)
    weights = {"conv": {"kernel": kernel, "bias": bias}, "norm": norm, "y": {"kernel": dense, "bias": offset}}
    with h5py.File(file, "w") as held:
        held.attrs["keras_version"], held.attrs["backend"] = "2.20.1", "tensorflow"
        layers = [{"class_name": kind, "config": config} for kind, config in LAYERS]
        held.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
        )
        group = held.create_group("model_weights")
        group.attrs["keras_version"], group.attrs["backend"] = "2.20.1", "tensorflow"
        group.attrs["layer_names"] = [config["name"] for _, config in LAYERS[1:]]
        for _, config in LAYERS[1:]:
            inner, arrays = group.create_group(config["name"]), weights.get(config["name"], {})
            inner.attrs["weight_names"] = [f"{config['name']}/{name}:0" for name in arrays]
            for name, array in arrays.items():
                inner.create_dataset(f"{config['name']}/{name}:0", data=array.astype(np.float32))
    tensors = {"k": kernel.transpose(3, 2, 0, 1), "b": bias, **norm, "d": dense, "o": offset}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *norm], ["n"], epsilon=0.001),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Transpose", ["r"], ["u"], perm=[0, 2, 3, 1]),
        helper.make_node("Flatten", ["u"], ["f"]),
        helper.make_node("Gemm", ["f", "d", "o"], ["y"]),
    ]
    onnx_models.save(
        original, nodes,
        [onnx_models.value("x", TensorProto.FLOAT, ["batch", 8, 8, 1])],
        [onnx_models.value("y", TensorProto.FLOAT, ["batch", 10])],
        [onnx_models.weight(name, array.astype(np.float32)) for name, array in tensors.items()],
    )  # fmt: skip


def test_keras_2_model_learns_to_be_rounded_and_runs_in_int8(tmp_path: Path) -> None:
    file, original = tmp_path / "model.h5", tmp_path / "before.onnx"
    keras_2_file(file, original)
    rows = Dataset({"x": parts.rows(256, (8, 8, 1))}, None, None, "rows")
    material = Material(onnx.signature(original), source=Source(tmp_path, None, file), folder=tmp_path)
    sets = Sets(None, rows, rows, rows, "rows")
    before = Artifact(original, file)
    workshop = Workshop(before, material, sets, root=tmp_path / "cache", work=tmp_path / "trials")
    recipe = Recipe(steps=(step("tf-mot", epochs=1),))
    assert workshop.inapplicable(recipe) is None
    made = workshop.make(recipe, 300)
    counts = made.evidence[0]["counts"]
    assert counts["quantized"] == 2 + 2 * 3  # two weights, and both ends of three ranges
    assert counts["weight_bytes_after"] < counts["weight_bytes_before"] / 3.9
    answers = [workshop.answers(model, digest, rows) for model, digest in ((original, "a"), (made.model, "b"))]
    assert min(worst_cosines(*answers).values()) > 0.99
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "served.onnx")
    onnxruntime.InferenceSession(str(made.model), options)
    served = onnx_files.census(tmp_path / "served.onnx").operators
    assert served["QLinearConv"] == 1
    assert served["Conv"] + served["FusedConv"] + served["MatMul"] + served["Gemm"] == 0


@pytest.mark.parametrize(
    ("version", "said"),
    [("3.15.1", "TF-MOT takes models of tf-keras (Keras 2) only, and Keras 3.15.1 wrote model.h5"), ("2.20.1", None)],
)
def test_only_a_file_of_keras_2_is_taken(tmp_path: Path, version: str, said: str | None) -> None:
    file, model = tmp_path / "model.h5", parts.mlp(tmp_path / "model.onnx")
    with h5py.File(file, "w") as held:
        held.attrs["keras_version"] = version
    material = Material(onnx.signature(model), source=Source(tmp_path, None, file), calibration=model)
    technique = techniques.find("tf-mot")
    reason = technique.inapplicable(Artifact(model, file), material, None)
    assert reason is None if said is None else said in str(reason)
    if said:
        assert "keras-quantize or static-int8" in str(reason)
        assert "needs the Keras 2 model" in str(
            technique.inapplicable(Artifact(model), Material(material.signature), None)
        )
