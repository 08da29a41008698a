"""Keras' own quantization: the Keras model in int8, exported again, answers in ONNX as it does in Keras."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
from onnx import TensorProto, helper

import onnx_models
import optimize_parts as parts
from cloudmodel.formats import onnx_files
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.optimize import techniques
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.recipe import Recipe, step
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.workshop import Workshop

MAKE = """
import keras, sys
keras.utils.set_random_seed(0)
dense = keras.layers.Dense
keras.Sequential([keras.Input((16,), name="x"), dense(512, activation="relu"), dense(4)]).save(sys.argv[1])
"""


def as_onnx(file: Path, path: Path) -> Path:
    """The same two layers, node by node, from the weights in the file."""
    with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as kept:
        first, second = (kept[f"layers/{name}/vars"] for name in ("dense", "dense_1"))
        tensors = [
            onnx_models.weight(name, np.asarray(value))
            for name, value in (("w1", first["0"]), ("b1", first["1"]), ("w2", second["0"]), ("b2", second["1"]))
        ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["dense_1"]),
    ]
    ends = [onnx_models.value(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("x", 16), ("dense_1", 4))]
    return onnx_models.save(path, nodes, ends[:1], ends[1:], tensors)


def test_a_keras_model_in_int8_is_smaller_and_answers_nearly_alike(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    subprocess.run([sys.executable, "-c", MAKE, str(file)], check=True, capture_output=True)
    signature = Signature(
        inputs=(Tensor(name="x", dtype="float32", shape=("batch", 16)),),
        outputs=(Tensor(name="dense_1", dtype="float32", shape=("batch", 4)),),
    )
    rows = Dataset({"x": parts.rows(40, (16,))}, None, None, "rows")
    material = Material(signature, source=Source(tmp_path, None, file), folder=tmp_path)
    before = Artifact(as_onnx(file, tmp_path / "before.onnx"), file)
    workshop = Workshop(
        before, material, Sets(None, rows, rows, rows, "rows"), root=tmp_path / "cache", work=tmp_path / "trials"
    )
    recipe = Recipe(steps=(step("keras-quantize"),))
    assert workshop.inapplicable(recipe) is None
    made = workshop.make(recipe, 300)
    assert onnx_files.census(made.model).operators["MatMulInteger"] == 2
    assert made.size_bytes < workshop.size_bytes
    left, right = (workshop.answers(path, sha, rows) for path, sha in ((before.model, "a"), (made.model, made.sha256)))
    for name, array in left.items():
        gap = np.abs(array - right[name]).max()
        assert 0 < gap < 0.05 * np.abs(array).max()


def test_without_the_keras_file_it_says_what_it_needs(tmp_path: Path) -> None:
    model = parts.mlp(tmp_path / "model.onnx")
    material = Material(Signature(inputs=(), outputs=()), source=Source(tmp_path, None, model))
    technique = techniques.find("keras-quantize")
    for source in (material.source, None, Source(tmp_path, "module:factory", model)):
        reason = technique.inapplicable(Artifact(model, model), Material(material.signature, source=source), None)
        assert reason is not None
        assert "needs the Keras model" in reason
