"""What skl2onnx cannot write is served by scikit-learn itself, and the manifest says why."""

from __future__ import annotations

from pathlib import Path

import joblib
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package

TEXTS = ["a bird in the hand", "two in the bush", "the worst film", "a great great film"] * 5


def test_two_files_that_cannot_become_onnx_are_one_estimator_on_the_endpoint(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    vectorizer = HashingVectorizer(n_features=64)
    model = LogisticRegression().fit(vectorizer.transform(TEXTS), [0, 1, 1, 0] * 5)
    joblib.dump(vectorizer, tmp_path / "parts/a.joblib")
    joblib.dump(model, tmp_path / "parts/model.joblib", compress=("xz", 3))
    manifest = package(ModelSource("words", tmp_path / "parts"), open_store("store", base=tmp_path)).manifest
    assert (manifest.format, manifest.layout) == ("sklearn", "sklearn")
    assert "HashingVectorizer" in manifest.metadata["export"]["reason"]
    assert "model.joblib" in {entry.path for entry in manifest.files}
    assert manifest.parity.passed
    assert [(tensor.name, tensor.dtype) for tensor in manifest.signature.outputs] == [
        ("label", "int64"), ("probabilities", "float64"),
    ]  # fmt: skip
