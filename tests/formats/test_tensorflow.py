"""Keras files and SavedModel folders: opened by TensorFlow in the confined child, exported, packaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.core.errors import ModelUnreadable
from cloudmodel.formats import opening, scan
from cloudmodel.formats.original import Job
from cloudmodel.serving.package import ModelSource, package

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    command = [sys.executable, str(SUPPORT / "keras_models.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": str(folder)})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return open_store("store", base=tmp_path)


def test_a_keras_model_keeps_its_names_and_its_open_sizes(models: Path, store: BundleStore) -> None:
    manifest = package(ModelSource("towers", models / "two-towers.keras"), store).manifest
    inputs = [(each.name, each.dtype, each.shape) for each in manifest.signature.inputs]
    assert inputs == [("item", "float32", ("batch", 4)), ("words", "int32", ("batch", "words_1"))]
    outputs = [(each.name, each.shape) for each in manifest.signature.outputs]
    assert outputs == [("kind", ("batch", 3)), ("score", ("batch", 1))]
    assert manifest.format == "keras"
    assert manifest.layout == "onnxruntime"
    assert manifest.parity.passed
    assert manifest.metadata["export"] == {**manifest.metadata["export"], "exporter": "tf2onnx", "reason": ""}
    assert manifest.metadata["original"]["class"] == "Functional"


def test_a_saved_model_is_asked_through_its_only_signature(models: Path, tmp_path: Path) -> None:
    assert {each.format for each in scan.scan_paths([models / "table"]).files} == {
        "savedmodel", "savedmodel-variables"
    }  # fmt: skip
    folder = tmp_path / "bundle"
    folder.mkdir()
    opened = opening.open_model(Job("savedmodel", models / "table"), tmp_path / "work", folder=folder)
    assert opened.exported is not None
    assert (opened.facts["signature"], opened.exported.worst) == ("look", 0.0)
    words, ids = opened.asked.requests[2]["word"], opened.asked.answers[2]["id"]
    np.testing.assert_array_equal(ids, [{"a": 4, "word": 7}.get(word, -1) for word in words])
    written = onnx.load(str(folder / "model.onnx"))
    assert {each.domain: each.version for each in written.opset_import}[""] == 20


def test_which_signature_is_not_guessed(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match="has: look, see"):
        opening.open_model(Job("savedmodel", models / "two-signatures"), tmp_path / "work", folder=None)


def test_what_cannot_become_onnx_is_kept_as_a_saved_model(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    opened = opening.open_model(Job("keras", models / "vectorized.keras"), tmp_path / "work", folder=folder)
    assert opened.exported is None
    assert "StaticRegexReplace" in opened.reason
    assert list(folder.iterdir()) == []
    assert opened.kept is not None
    report = scan.scan_paths([opened.kept])
    assert report.verdict == "clean", report
    # TensorFlow Serving will load what was kept; it must answer as the model did.
    again = opening.open_model(Job("savedmodel", opened.kept), tmp_path / "again", folder=None)
    assert again.asked.signature == opened.asked.signature
    for wanted, found in zip(opened.asked.answers, again.asked.answers, strict=True):
        assert list(found) == list(wanted)
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-6)


def test_a_broken_file_says_what_keras_says(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    with pytest.raises(ModelUnreadable, match="No model config"):
        opening.open_model(Job("keras", tmp_path / "weights.h5"), tmp_path / "work", folder=None)
