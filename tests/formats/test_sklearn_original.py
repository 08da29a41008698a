"""Estimators answer under their own names and shapes, and so does the ONNX file that each becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas
import pytest
import skops.io
from sklearn import (
    cluster,
    compose,
    datasets,
    ensemble,
    feature_extraction,
    linear_model,
    pipeline,
    preprocessing,
    svm,
    tree,
)

from cloudmodel.core.errors import CloudmodelError, ModelUnreadable, Unsupported
from cloudmodel.formats.asking import ask, remembers
from cloudmodel.formats.export import export
from cloudmodel.formats.original import Job
from cloudmodel.formats.sklearn.original import open_model

X, Y = datasets.load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
TEXTS = ["a bird in the hand", "two in the bush", "the worst film", "a great great film"] * 5
GOOD = [0, 1, 1, 0] * 5
TABLE = pandas.DataFrame({"age": np.arange(20.0), "city": ["Bern", "Basel"] * 10})


def columns() -> Any:
    chosen = compose.ColumnTransformer(
        [("n", preprocessing.StandardScaler(), ["age"]), ("c", preprocessing.OneHotEncoder(), ["city"])]
    )
    return pipeline.make_pipeline(chosen, linear_model.LogisticRegression()).fit(TABLE, GOOD)


def words(vectorizer: Any) -> Any:
    return pipeline.make_pipeline(vectorizer, linear_model.LogisticRegression()).fit(TEXTS, GOOD)


CASES: dict[str, tuple[Callable[[], Any], list[tuple[str, str, list[Any]]]]] = {
    "a classifier": (lambda: linear_model.LogisticRegression().fit(X, Y), [
        ("label", "int64", ["batch"]), ("probabilities", "float32", ["batch", 3])]),
    "labels that are words": (lambda: tree.DecisionTreeClassifier().fit(X, NAMES[Y]), [
        ("label", "str", ["batch"]), ("probabilities", "float32", ["batch", 3])]),
    "scores": (lambda: linear_model.RidgeClassifier().fit(X, Y), [
        ("label", "int64", ["batch"]), ("scores", "float32", ["batch", 3])]),
    "the score of two classes": (lambda: svm.LinearSVC().fit(X, Y > 1), [
        ("label", "bool", ["batch"]), ("scores", "float32", ["batch"])]),
    "a regressor": (lambda: ensemble.GradientBoostingRegressor(n_estimators=5).fit(X, Y), [
        ("value", "float32", ["batch"])]),
    "two targets": (lambda: linear_model.LinearRegression().fit(X, np.c_[Y, Y]), [("value", "float32", ["batch", 2])]),
    "a pipeline": (lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()).fit(X, Y), [
        ("label", "int64", ["batch"]), ("scores", "float32", ["batch", 3])]),
    "clusters": (lambda: cluster.KMeans(2, n_init=1).fit(X), [("label", "int64", ["batch"])]),
    "outliers": (lambda: ensemble.IsolationForest(n_estimators=5).fit(X), [("label", "int64", ["batch"])]),
    "a transformer": (lambda: preprocessing.StandardScaler().fit(X), [("transformed", "float32", ["batch", 4])]),
    "texts": (lambda: words(feature_extraction.text.TfidfVectorizer()), [
        ("label", "int64", ["batch"]), ("probabilities", "float32", ["batch", 2])]),
    "texts to a union": (lambda: words(pipeline.make_union(
        feature_extraction.text.TfidfVectorizer(), feature_extraction.text.CountVectorizer(ngram_range=(1, 2)))), [
        ("label", "int64", ["batch"]), ("probabilities", "float32", ["batch", 2])]),
    "columns": (columns, [("label", "int64", ["batch"]), ("probabilities", "float32", ["batch", 2])]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_an_estimator_and_its_onnx_file_answer_alike(tmp_path: Path, name: str) -> None:
    make, outputs = CASES[name]
    joblib.dump(make(), tmp_path / "m.joblib")
    original = open_model(Job("sklearn", tmp_path / "m.joblib"))
    asked = ask(original, original.signature, where="m")
    assert not remembers(original, asked)
    (tmp_path / "out").mkdir()
    written = export(original.exporters(), asked, tmp_path / "out", where="m")
    assert [(tensor.name, tensor.dtype, [*tensor.shape]) for tensor in written.signature.outputs] == outputs
    assert written.worst < 1e-5
    model = onnx.load(str(written.model))
    assert model.ir_version <= 10
    assert {each.domain: each.version for each in model.opset_import}[""] <= 20


def test_files_of_a_folder_are_steps_of_one_model(tmp_path: Path) -> None:
    whole = words(feature_extraction.text.TfidfVectorizer())
    joblib.dump(whole.steps[0][1], tmp_path / "vectorizer.joblib", compress=3)
    skops.io.dump(whole.steps[1][1], tmp_path / "model.skops")
    original = open_model(Job("sklearn", tmp_path))
    assert [(tensor.name, tensor.dtype) for tensor in original.signature.inputs] == [("text", "str")]
    found = original.answer({"text": np.array(TEXTS, dtype=object)})
    np.testing.assert_array_equal(found["probabilities"], whole.predict_proba(TEXTS))


def test_a_made_up_text_has_signs_where_tokenizers_differ(tmp_path: Path) -> None:
    joblib.dump(words(feature_extraction.text.CountVectorizer(analyzer="char_wb", ngram_range=(2, 3))), tmp_path / "m")
    original = open_model(Job("sklearn", tmp_path / "m"))
    asked = ask(original, original.signature, where="m")
    assert len({text for request in asked.requests for text in request["text"]}) > 8
    assert any("isn't" in text for text in asked.requests[2]["text"])


def test_what_cannot_predict_is_no_model(tmp_path: Path) -> None:
    old = linear_model.RidgeClassifier().fit(X, Y)
    del old._label_binarizer  # what a file of an old version lacks: it loads
    joblib.dump(old, tmp_path / "old")
    joblib.dump(preprocessing.FunctionTransformer(), tmp_path / "open")
    joblib.dump({"a": 1}, tmp_path / "dict")
    (tmp_path / "cut").write_bytes((tmp_path / "old").read_bytes()[:200])
    original = open_model(Job("sklearn", tmp_path / "old"))
    cases: list[tuple[Callable[[], Any], type[CloudmodelError], str]] = [
        (lambda: ask(original, original.signature, where="m"), ModelUnreadable, "RidgeClassifier.predict fails"),
        (lambda: open_model(Job("sklearn", tmp_path / "dict")), Unsupported, "holds dict"),
        (lambda: open_model(Job("sklearn", tmp_path / "cut")), ModelUnreadable, "cannot load it"),
        (lambda: open_model(Job("sklearn", tmp_path / "open")), CloudmodelError, "how many features"),
    ]
    for fails, error, words_of_it in cases:
        with pytest.raises(error, match=words_of_it):
            fails()
