"""How far a trial's answers turned away from the original's, output by output and row by row.

A label metric hides damage: a sentence encoder kept its topic accuracy exactly while its worst embedding stood at
cosine 0.73. So every float output is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def worst_cosines(original: Mapping[str, Array], trial: Mapping[str, Array]) -> dict[str, float]:
    """For every float output the smallest cosine between a row of `original` and the same row of `trial`.

    An output of one number a row has no direction: its rows together are one vector. Two rows of zeros agree (1); a
    row with NaN or infinity that the original has not is -1, as is another shape.
    """
    found = {}
    for name, left in original.items():
        if left.dtype.kind == "f":
            found[name] = _worst(left.astype(np.float64), np.asarray(trial[name], dtype=np.float64))
    return found


def _worst(left: Array, right: Array) -> float:
    if left.shape != right.shape or not len(left):
        return -1.0
    one, other = (array.reshape(len(array), -1) for array in (left, right))
    if one.shape[1] <= 1:
        one, other = one.reshape(1, -1), other.reshape(1, -1)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    broken = ~np.isfinite(other) & ~same
    one, other = (np.where(np.isfinite(array), array, 0.0) for array in (one, other))
    lengths = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    product = lengths[0] * lengths[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(product > 0, (one * other).sum(axis=1) / product, 0.0)
    cosines = np.where((lengths[0] == 0) & (lengths[1] == 0), 1.0, cosines)
    cosines = np.where(same.all(axis=1), 1.0, np.clip(cosines, -1.0, 1.0))
    return float(np.where(broken.any(axis=1), -1.0, cosines).min())
