"""The metrics of the contract; scikit-learn's are the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as judge

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.optimize import metrics, ranking
from cloudmodel.optimize.data import Dataset

RANDOM = np.random.default_rng(3)
LABELS = RANDOM.integers(0, 6, 300)
LOGITS = (RANDOM.normal(size=(300, 6)) + 1.5 * np.eye(6)[LABELS]).astype(np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


def rows(labels: Any, groups: Any = None) -> Dataset:
    return Dataset({"x": np.zeros((len(labels), 1), np.float32)}, np.asarray(labels), groups, "data.npz")


def total(name: str, output: Any, labels: Any, groups: Any = None) -> float:
    data, answers = rows(labels, groups), {"output": np.asarray(output)}
    return metrics.fit(name, answers, data, folder=Path()).total(answers, data)


@pytest.mark.parametrize(
    ("name", "output", "labels", "wanted"),
    [
        ("accuracy", LOGITS, LABELS, judge.accuracy_score(LABELS, LOGITS.argmax(1))),
        ("accuracy", LOGITS.argmax(1), LABELS, judge.accuracy_score(LABELS, LOGITS.argmax(1))),
        ("accuracy", PROBABILITIES[:, 1], LABELS == 1, judge.accuracy_score(LABELS == 1, PROBABILITIES[:, 1] > 0.5)),
        ("f1", LOGITS, LABELS, judge.f1_score(LABELS, LOGITS.argmax(1), average="macro")),
        ("top-5", LOGITS, LABELS, judge.top_k_accuracy_score(LABELS, LOGITS, k=5)),
        ("cross-entropy", LOGITS, LABELS, judge.log_loss(LABELS, PROBABILITIES)),
        ("cross-entropy", PROBABILITIES, LABELS, judge.log_loss(LABELS, PROBABILITIES)),
        ("auc", PROBABILITIES, LABELS, judge.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr")),
        ("auc", LOGITS[:, :1], (LABELS == 0).astype(int), judge.roc_auc_score(LABELS == 0, LOGITS[:, 0])),
        ("mse", LOGITS[:, :1], LABELS, judge.mean_squared_error(LABELS, LOGITS[:, 0])),
        ("rmse", LOGITS[:, 0], LABELS, judge.mean_squared_error(LABELS, LOGITS[:, 0]) ** 0.5),
    ],
)
def test_metric_is_what_scikit_learn_computes(name: str, output: Any, labels: Any, wanted: float) -> None:
    assert total(name, output, labels) == pytest.approx(wanted, rel=1e-5)


def test_ranking_metrics_are_means_over_queries() -> None:
    groups = np.repeat(np.arange(20), 15)
    gains = RANDOM.integers(0, 4, 300)
    scores = RANDOM.normal(size=300)
    wanted = [judge.ndcg_score([gains[groups == one]], [scores[groups == one]], k=10) for one in range(20)]
    # scikit-learn's gain is the relevance itself, as ours is.
    assert total("ndcg@10", scores, gains, groups) == pytest.approx(np.mean(wanted))
    relevant = [gains[groups == one] > 0 for one in range(20)]
    best = [np.argsort(-scores[groups == one])[:10] for one in range(20)]
    recalls = [each[top].sum() / each.sum() for each, top in zip(relevant, best, strict=True)]
    assert total("recall@10", scores, gains, groups) == pytest.approx(np.mean(recalls))


def test_auc_counts_ties_half() -> None:
    scores, positive = np.array([1, 1, 2, 2, 3, 0]), np.array([True, False, True, False, True, False])
    assert ranking.auc(scores, positive) == pytest.approx(judge.roc_auc_score(positive, scores))


def test_own_function_is_imported_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "own_metric_of_test.py").write_text(
        "def score(outputs, labels):\n    assert len(labels), 'no rows'\n    return float(len(labels)) / 2\n"
    )
    answers = {"output": LOGITS}
    metric = metrics.fit("own_metric_of_test:score", answers, rows(LABELS), folder=tmp_path)
    assert metric.total(answers, rows(LABELS)) == 150
    assert metric.larger_is_better
    with pytest.raises(ProjectInvalid, match=r"failed on 0 rows: AssertionError: no rows"):
        metric.total(answers, rows(LABELS[:0]))


@pytest.mark.parametrize(
    ("name", "output", "labels", "said"),
    [
        ("accuracy", LOGITS, np.full(300, 6), "none of the model's 6 classes"),
        ("accuracy", LOGITS, LABELS + 0.5, "needs classes as labels"),
        ("accuracy", LOGITS, LABELS.astype(str), "labels are words such as"),
        ("accuracy", LOGITS[:, :1], np.where(LABELS == 1, 1, -1), "none of the model's 2 classes"),
        ("accuracy", np.zeros((300, 2, 3), np.float32), LABELS, "gives no class a row"),
        ("cross-entropy", LOGITS[:, 0], LABELS, "needs a float output"),
        ("auc", LOGITS, np.zeros(300, int), "at least two classes"),
        ("mse", LOGITS, LABELS, "for labels"),
        ("ndcg@10", LOGITS[:, 0], LABELS, "groups"),
        ("no_such_module:score", LOGITS, LABELS, "cannot be imported"),
    ],
)
def test_metric_that_does_not_fit_is_refused_by_name(name: str, output: Any, labels: Any, said: str) -> None:
    with pytest.raises(ProjectInvalid, match=said) as caught:
        total(name, output, labels)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["auc", "cross-entropy", "top-5"])
def test_metrics_of_scores_match_labels_to_columns_and_not_to_the_words_beside_them(name: str) -> None:
    """As scikit-learn's classifiers answer: a label that is a word, and scores by column."""
    answers = {"label": np.array(["cat", "dog", "eel", "fox", "gnu", "hen"])[LABELS], "probabilities": PROBABILITIES}
    found = metrics.fit(name, answers, rows(LABELS), folder=Path()).total(answers, rows(LABELS))
    assert found == pytest.approx(total(name, PROBABILITIES, LABELS))
    with pytest.raises(ProjectInvalid, match="labels are words"):
        metrics.fit(name, answers, rows(answers["label"]), folder=Path())


def test_labels_are_checked_before_their_rows_are_asked() -> None:
    late = np.append(LABELS, 6)
    with pytest.raises(ProjectInvalid, match="label 6 of row 300"):
        metrics.check("accuracy", {"output": LOGITS}, rows(late))
