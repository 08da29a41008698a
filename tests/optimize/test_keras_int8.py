"""Keras' own quantization: the Keras model in int8, exported again, answers in ONNX as it does in Keras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import optimize_parts as parts
from cloudmodel.formats import onnx_files, opening
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Job
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


def test_a_keras_model_in_int8_is_smaller_and_answers_nearly_alike(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    subprocess.run([sys.executable, "-c", MAKE, str(file)], check=True, capture_output=True)
    folder = tmp_path / "exported"
    folder.mkdir()
    opened = opening.open_model(Job("keras", file), tmp_path / "work", folder=folder)
    assert opened.exported is not None
    rows = Dataset({opened.asked.signature.inputs[0].name: parts.rows(40, (16,))}, None, None, "rows")
    material = Material(opened.asked.signature, source=Source(tmp_path, None, file), folder=tmp_path)
    before = Artifact(Path(opened.exported.model), file)
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
