"""Metrics of order: how well scores put the right rows first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DEPTH = 10


def auc(scores: Array, positive: Array) -> float:
    """The chance that a positive row has a higher score than a negative one, ties counting half (Mann-Whitney U)."""
    order = np.argsort(scores, kind="stable")
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.empty(len(scores))
    ranks[order] = ((ends - counts + 1 + ends) / 2)[inverse]
    ones = int(positive.sum())
    zeros = len(scores) - ones
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def ndcg(scores: Array, gains: Array, groups: Array) -> float:
    """Mean over the queries of DCG / ideal DCG of the first DEPTH rows, DCG = sum of gain / log2(place + 1), places
    from 1. A query without a gain does not count."""
    each = []
    for rows in _queries(groups):
        best = np.sort(gains[rows])[::-1][:DEPTH]
        found = gains[rows][np.argsort(-scores[rows], kind="stable")][:DEPTH]
        weights = 1 / np.log2(np.arange(2, 2 + len(best)))
        if (ideal := float(best @ weights)) > 0:
            each.append(float(found @ weights) / ideal)
    return float(np.mean(each)) if each else float("nan")


def recall(scores: Array, gains: Array, groups: Array) -> float:
    """Mean over the queries of the share of relevant rows (gain above 0) among the first DEPTH. A query without one
    does not count."""
    each = []
    for rows in _queries(groups):
        relevant = gains[rows] > 0
        if relevant.any():
            first = np.argsort(-scores[rows], kind="stable")[:DEPTH]
            each.append(float(relevant[first].sum() / relevant.sum()))
    return float(np.mean(each)) if each else float("nan")


def _queries(groups: Array) -> list[Array]:
    _, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.cumsum(np.bincount(inverse))[:-1])
