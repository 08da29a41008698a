"""scikit-learn estimators of the tests, fitted, as a user's factories."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier


def rows() -> tuple[Any, Any]:
    """Breast cancer, shuffled."""
    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.target))
    return data.data[order].astype(np.float32), data.target[order].astype(np.int64)


def _fitted(estimator: Any) -> Any:
    features, labels = rows()
    return estimator.fit(features[:400], labels[:400])


def tree() -> Any:
    return _fitted(DecisionTreeClassifier(random_state=0))


def forest() -> Any:
    return _fitted(RandomForestClassifier(20, random_state=0))


def boosted() -> Any:
    return _fitted(GradientBoostingClassifier(n_estimators=20, random_state=0))


def line() -> Any:
    return _fitted(LogisticRegression(max_iter=5000))


def nothing() -> dict[str, str]:
    return {}
