"""The labelled rows that a training step learns from, and the part of them that it stops by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.pytorch.modules import Module, answers
from cloudmodel.optimize import data, sets
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.metrics import Metric, fit
from cloudmodel.optimize.technique import Material

LEAST, MOST = 20, 2000
"""How many rows are held back to stop by: a tenth of them, within these bounds."""


@dataclass(frozen=True)
class Rows:
    """`learn` and `stop` share no row; neither is from the selection or final set."""

    learn: Dataset
    stop: Dataset


def split(material: Material) -> Rows:
    """The rows of `material.train`, split by its seed, equal rows and queries kept together. Raises StepFailed for too
    few rows or rows without labels."""
    assert material.train is not None
    every = data.read_npz(material.train, material.signature)
    if every.labels is None:
        raise StepFailed("The training data have no labels", where=every.where, hint="add an array `labels`, one a row")
    held = min(max(LEAST, len(every) // 10), MOST)
    if len(every) < 2 * held:
        raise StepFailed(
            f"{len(every)} rows are too few to train on", where=every.where, hint=f"give at least {2 * LEAST}"
        )
    stop, learn = sets.apart(every, held, material.seed)
    if not len(learn):
        raise StepFailed(
            "The training rows are all the same, or of one query", where=every.where, hint="give rows that differ"
        )
    return Rows(learn=every.take(learn), stop=every.take(np.sort(stop)))


def metric(material: Material, original: Module, rows: Rows) -> Metric:
    """The project's metric, fitted to the original model's answers to the rows that training stops by."""
    assert material.metric is not None
    found = answers(original, rows.stop.inputs, material.signature)
    return fit(material.metric, found, rows.stop, folder=material.folder)


def score(metric: Metric, module: Module, rows: Rows, material: Material) -> float:
    """The metric of a module on the rows that training stops by, turned so that larger is better."""
    value = metric.total(answers(module, rows.stop.inputs, material.signature), rows.stop)
    return value if metric.larger_is_better else -value
