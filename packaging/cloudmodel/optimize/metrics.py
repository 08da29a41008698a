"""The metrics of `evaluate.metric`: what a model is judged by, row by row where the metric allows it.

A metric is first fitted to the original's own answers: whether scores are probabilities or logits is decided there,
once, and holds for every trial. Larger is better for all but mse, rmse and cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import CloudmodelError, ProjectInvalid
from cloudmodel.formats.factory import function
from cloudmodel.optimize import ranking
from cloudmodel.optimize.data import Dataset

Array = NDArray[Any]
Outputs = Mapping[str, Array]
"""A model's answers to all rows of a data set, by output name in the model's order."""

SMALLER_IS_BETTER = frozenset({"mse", "rmse", "cross-entropy"})
TOP = 5
TINY = 1e-12


@dataclass(frozen=True)
class Metric:
    """A metric fitted to a model. `total` maps answers, labels and groups to the number.

    `correct` maps them to a truth value a row, where the metric is a mean of such; `loss` to a number a row, where it
    is a mean of such (for rmse the square of it); else both are None. `classes` names the class of each label.
    """

    name: str
    total: Callable[[Outputs, Dataset], float]
    correct: Callable[[Outputs, Dataset], Array] | None = None
    loss: Callable[[Outputs, Dataset], Array] | None = None

    @property
    def larger_is_better(self) -> bool:
        """False for mse, rmse and cross-entropy."""
        return self.name not in SMALLER_IS_BETTER

    @property
    def worsens(self) -> str:
        """What it does when a model gets worse: an accuracy drops, an error rises."""
        return "drops" if self.larger_is_better else "rises"


def fit(name: str, outputs: Outputs, data: Dataset, *, folder: Path) -> Metric:
    """The metric called `name`, for a model that answers `data` with `outputs`.

    `module:function` is imported from `folder` and called with (outputs by name, labels) -> float, larger is better.
    Raises ProjectInvalid where metric, answers and labels do not fit each other.
    """
    assert data.labels is not None
    metric = _own(name, folder) if ":" in name else FITS[name](outputs, data)
    try:
        value = metric.total(outputs, data)
    except CloudmodelError:
        raise
    except Exception as error:
        raise ProjectInvalid(
            f"{name} cannot be computed: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            where=data.where,
            hint="check evaluate.metric against the labels and the model's first output",
        ) from error
    if not np.isfinite(value):
        raise ProjectInvalid(f"{name} is {value} for the original model", where=data.where)
    return metric


def check(name: str, outputs: Outputs, data: Dataset) -> None:
    """Whether the labels of `data` fit answers of the form of `outputs`, which are of other rows: what `fit` would say
    of them, before the model is asked. Raises ProjectInvalid."""
    if ":" not in name:
        form = {key: np.broadcast_to(array[:1], (len(data), *array.shape[1:])) for key, array in outputs.items()}
        FITS[name](form, data)


def _own(name: str, folder: Path) -> Metric:
    call = function(name, folder)

    def total(outputs: Outputs, data: Dataset) -> float:
        try:
            return float(call(dict(outputs), data.labels))
        except Exception as error:
            raise ProjectInvalid(
                f"{name} failed on {len(data)} rows: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                where=name,
                hint="it takes the outputs by name and the labels, and returns a number, larger is better",
            ) from error

    return Metric(name, total)


def predicted(outputs: Outputs) -> Callable[[Outputs], Array]:
    """How to read a class from the first output: itself where it is a class, the best score, or a score over half."""
    name, first = next(iter(outputs.items()))
    if first.dtype.kind not in "fc":
        return lambda answers: np.asarray(answers[name]).reshape(len(answers[name]), -1)[:, 0]
    if first.ndim == 2 and first.shape[1] >= 2:
        return lambda answers: np.asarray(answers[name].argmax(axis=1))
    if first.ndim == 1 or (first.ndim == 2 and first.shape[1] == 1):
        border = 0.5 if first.min() >= 0 and first.max() <= 1 else 0.0
        return lambda answers: (answers[name].reshape(-1) > border).astype(np.int64)
    raise ProjectInvalid(
        f"Output {name!r} {list(first.shape)} gives no class a row", where="evaluate.metric", hint="use module:function"
    )


def scores(outputs: Outputs, data: Dataset, metric: str) -> tuple[str, bool]:
    """The name of the first float output [rows, classes], and whether it holds probabilities. Raises ProjectInvalid."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] >= 2:
            sums = array.sum(axis=1)
            return name, bool(array.min() >= 0 and np.allclose(sums, 1, atol=1e-3))
    raise ProjectInvalid(f"{metric} needs a float output [rows, classes]", where=data.where, hint="use module:function")


def _class_labels(outputs: Outputs, data: Dataset, metric: str, scored: str | None = None) -> Array:
    """The labels as what the first output answers: words, or classes counted from 0; as the columns of the output
    `scored` where the metric is one of scores. Raises ProjectInvalid where they are none of the model's classes."""
    labels = np.asarray(data.labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    first = next(iter(outputs.values())) if scored is None else outputs[scored]
    if labels.ndim != 1:
        raise ProjectInvalid(
            f"{metric} needs one label a row, not {list(labels.shape)}",
            where=data.where,
            hint="write the number of the class, counted from 0",
        )
    if first.dtype.kind in "OUS":
        return labels.astype(np.str_)
    if labels.dtype.kind in "OUS":
        raise ProjectInvalid(
            f"{metric} compares numbers here, and the labels are words such as {str(labels[0])[:40]!r}",
            where=data.where,
            hint="number the classes from 0, in the order of the model's own",
        )
    if labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise ProjectInvalid(
            f"{metric} needs classes as labels, not {labels.dtype} numbers", where=data.where, hint="use mse or rmse"
        )
    labels = labels.astype(np.int64)
    # A single score is that of a yes: there are two classes.
    width = max(2, first[0].size) if first.dtype.kind == "f" and first.ndim <= 2 else None
    if width is not None and (labels.min() < 0 or labels.max() >= width):
        row = int(np.argmax((labels < 0) | (labels >= width)))
        raise ProjectInvalid(
            f"The label {labels[row]} of row {row} is none of the model's {width} classes",
            where=data.where,
            hint="number the classes from 0",
        )
    return labels


def _accuracy(outputs: Outputs, data: Dataset) -> Metric:
    _class_labels(outputs, data, "accuracy")
    read = predicted(outputs)

    def correct(answers: Outputs, rows: Dataset) -> Array:
        return np.asarray(read(answers) == _class_labels(answers, rows, "accuracy"))

    return Metric("accuracy", lambda answers, rows: float(correct(answers, rows).mean()), correct=correct)


def _f1(outputs: Outputs, data: Dataset) -> Metric:
    """The mean over the classes of 2TP / (2TP + FP + FN); a class that is in no row does not count."""
    _class_labels(outputs, data, "f1")
    read = predicted(outputs)

    def total(answers: Outputs, rows: Dataset) -> float:
        found, wanted = read(answers), _class_labels(answers, rows, "f1")
        each = []
        for one in np.unique(np.concatenate([found, wanted])):
            hits = np.sum((found == one) & (wanted == one))
            each.append(2 * hits / (np.sum(found == one) + np.sum(wanted == one)))
        return float(np.mean(each))

    def correct(answers: Outputs, rows: Dataset) -> Array:
        return np.asarray(read(answers) == _class_labels(answers, rows, "f1"))

    return Metric("f1", total, correct=correct)


def _top(outputs: Outputs, data: Dataset) -> Metric:
    name, _ = scores(outputs, data, "top-5")
    _class_labels(outputs, data, "top-5", name)

    def correct(answers: Outputs, rows: Dataset) -> Array:
        best = np.argsort(-answers[name], axis=1, kind="stable")[:, :TOP]
        return np.asarray((best == _class_labels(answers, rows, "top-5", name)[:, None]).any(axis=1))

    return Metric("top-5", lambda answers, rows: float(correct(answers, rows).mean()), correct=correct)


def _cross_entropy(outputs: Outputs, data: Dataset) -> Metric:
    """Mean of -log p(label), in nats; logits go through softmax first."""
    name, probabilities = scores(outputs, data, "cross-entropy")
    _class_labels(outputs, data, "cross-entropy", name)

    def loss(answers: Outputs, rows: Dataset) -> Array:
        array = answers[name].astype(np.float64)
        if probabilities:
            logs = np.log(np.maximum(array, TINY))
        else:
            shifted = array - array.max(axis=1, keepdims=True)
            logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        wanted = _class_labels(answers, rows, "cross-entropy", name)
        return np.asarray(-logs[np.arange(len(array)), wanted])

    return Metric("cross-entropy", lambda answers, rows: float(loss(answers, rows).mean()), loss=loss)


def _auc(outputs: Outputs, data: Dataset) -> Metric:
    """Area under the ROC curve; for more than two classes the mean of each class against the rest."""
    name = next((key for key, array in outputs.items() if array.dtype.kind == "f" and array.ndim <= 2), None)
    if name is None or len(np.unique(_class_labels(outputs, data, "auc", name))) < 2:
        raise ProjectInvalid(
            "auc needs scores, and rows of at least two classes", where=data.where, hint="use accuracy, or more rows"
        )

    def total(answers: Outputs, rows: Dataset) -> float:
        array = answers[name].reshape(len(answers[name]), -1)
        wanted = _class_labels(answers, rows, "auc", name)
        if array.shape[1] <= 2:
            return ranking.auc(array[:, -1] - (array[:, 0] if array.shape[1] == 2 else 0), wanted == 1)
        present = [one for one in range(array.shape[1]) if 0 < np.sum(wanted == one) < len(wanted)]
        return float(np.mean([ranking.auc(array[:, one], wanted == one) for one in present]))

    return Metric("auc", total)


def _squared(name: str) -> Callable[[Outputs, Dataset], Metric]:
    def fitted(outputs: Outputs, data: Dataset) -> Metric:
        found = next((key for key, array in outputs.items() if array.dtype.kind == "f"), None)
        labels = np.asarray(data.labels)
        if found is None or labels.dtype.kind not in "iufb" or outputs[found].size != labels.size:
            shape = "no float output" if found is None else f"an output {list(outputs[found].shape)}"
            raise ProjectInvalid(
                f"{name}: {shape} for labels {list(labels.shape)}",
                where=data.where,
                hint="a regression has a number for each of the output's; classes are judged by accuracy, f1 or auc",
            )

        def loss(answers: Outputs, rows: Dataset) -> Array:
            wanted = np.asarray(rows.labels, dtype=np.float64).reshape(len(rows), -1)
            gap = answers[found].astype(np.float64).reshape(len(rows), -1) - wanted
            return np.asarray((gap**2).mean(axis=1))

        def total(answers: Outputs, rows: Dataset) -> float:
            mean = float(loss(answers, rows).mean())
            return mean**0.5 if name == "rmse" else mean

        return Metric(name, total, loss=loss)

    return fitted


def _ranked(name: str, score: Callable[[Array, Array, Array], float]) -> Callable[[Outputs, Dataset], Metric]:
    def fitted(outputs: Outputs, data: Dataset) -> Metric:
        found = next((key for key, array in outputs.items() if array.dtype.kind == "f"), None)
        if data.groups is None or found is None or outputs[found].size != len(data):
            raise ProjectInvalid(
                f"{name} needs one score a row and an array `groups` that says which rows are one query",
                where=data.where,
                hint="add `groups`, a number a row that is the same for the rows of one query",
            )

        def total(answers: Outputs, rows: Dataset) -> float:
            assert rows.groups is not None
            return score(answers[found].reshape(-1), np.asarray(rows.labels, dtype=np.float64), rows.groups)

        return Metric(name, total)

    return fitted


FITS: Mapping[str, Callable[[Outputs, Dataset], Metric]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "auc": _auc,
    "mse": _squared("mse"),
    "rmse": _squared("rmse"),
    "cross-entropy": _cross_entropy,
    "top-5": _top,
    "ndcg@10": _ranked("ndcg@10", ranking.ndcg),
    "recall@10": _ranked("recall@10", ranking.recall),
}
