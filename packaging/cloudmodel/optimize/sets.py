"""Four sets that share no row: to train on, to take ranges from, to choose by, and to report from.

The selection set steers the search; the final set is asked once, for the trial that was chosen, and its number is the
one that is reported. Both come from `evaluate.data`, split by the hash of each row, so that equal rows stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.model import Signature
from cloudmodel.optimize.data import Dataset, check_calibration, load

CALIBRATION_ROWS = 200
SELECTION_LEAST, SELECTION_MOST = 100, 2000


@dataclass(frozen=True)
class Sets:
    """What each part of the search may look at. `calibrated_from` says where the calibration rows came from; `files`
    are those of the held-out and of the training rows, whole and in their own order."""

    train: Dataset | None
    calibration: Dataset
    selection: Dataset
    final: Dataset
    calibrated_from: str
    files: tuple[Dataset, ...] = ()


def divide(
    evaluate: str, folder: Path, signature: Signature, *, train: str | None, calibrate: str | None, seed: int
) -> Sets:
    """Load and split the project's data; the same files and seed give the same sets.

    Calibration rows are those of `calibrate`, at most CALIBRATION_ROWS of them, or a slice of `train`, or of
    `evaluate`; a slice is left out of what it came from. Raises ProjectInvalid for data that do not fit the model,
    too few rows, or a row that two sets share.
    """
    held_out = load(evaluate, folder, signature)
    if held_out.labels is None:
        raise ProjectInvalid(
            "The evaluation data have no labels", where=held_out.where, hint="add an array `labels`, one a row"
        )
    training = load(train, folder, signature) if train else None
    files = (held_out,) if training is None else (held_out, training)
    if training is not None:
        _refuse_shared(training, held_out)
    if calibrate is None or calibrate in (train, evaluate):
        source = training if training is not None and calibrate != evaluate else held_out
        calibration, rest = _slice(source, min(CALIBRATION_ROWS, max(1, len(source) // 4)), seed)
        origin = f"{len(calibration)} of the {len(source)} rows of {Path(source.where).name}"
        if source is training:
            training = rest
        else:
            held_out = rest
    else:
        given = load(calibrate, folder, signature)
        calibration, _ = _slice(given, min(CALIBRATION_ROWS, len(given)), seed)
        origin = f"{len(calibration)} of the {len(given)} rows of {Path(given.where).name}"
        if training is not None:
            _refuse_shared(given, training)
        _refuse_shared(given, held_out)
    check_calibration(calibration)
    selection, final = _slice(held_out, selection_rows(len(held_out)), seed + 1)
    if len(final) == 0 or len(selection) == 0:
        raise ProjectInvalid(
            f"{len(held_out)} rows are too few to choose by some and report from others",
            where=held_out.where,
            hint="give at least a few hundred labelled rows as evaluate.data",
        )
    return Sets(training, calibration, selection, final, origin, files)


def selection_rows(count: int) -> int:
    """How many of `count` held-out rows the search may see: a tenth, at least 100, at most 2,000 or half of them."""
    return min(max(SELECTION_LEAST, count // 10), SELECTION_MOST, count // 2)


def apart(data: Dataset, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of `count` rows (more, where a row has equals or a query more rows) in seeded order, and those of the
    rest in their own order; they share no row and no query."""
    order = np.random.default_rng(seed).permutation(len(data))
    inside = np.zeros(len(data), dtype=bool)
    inside[order[:count]] = True
    families = [np.unique(np.array(data.hashes), return_inverse=True)[1].ravel()]
    if data.groups is not None:
        # Of whole queries no more than it takes: a part of one would be another question.
        queries = np.unique(data.groups, return_inverse=True)[1].ravel()
        inside = np.isin(queries, _first(queries[order], count))
        families.append(queries)
    while True:
        wider = inside
        for family in families:
            wider = np.isin(family, family[wider])
        if (wider == inside).all():
            break
        inside = wider
    return order[inside[order]], np.flatnonzero(~inside)


def _slice(data: Dataset, count: int, seed: int) -> tuple[Dataset, Dataset]:
    first, rest = apart(data, count, seed)
    return data.take(first), data.take(rest)


def _first(queries: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first queries, in the order of their rows, that have `count` rows together."""
    names, places = np.unique(queries, return_index=True)
    names = names[np.argsort(places)]
    return names[: 1 + int(np.searchsorted(np.cumsum(np.bincount(queries)[names]), count))]


def _refuse_shared(left: Dataset, right: Dataset) -> None:
    shared = set(left.hashes) & set(right.hashes)
    if not shared:
        return
    rows = [next(row for row, digest in enumerate(data.hashes) if digest in shared) for data in (left, right)]
    raise ProjectInvalid(
        f"{len(shared)} rows are in both files (row {rows[0]} of one is row {rows[1]} of the other): a number from rows"
        " that were trained or calibrated on proves nothing",
        where=f"{left.where} and {right.where}",
        hint="take them out of one of the two",
        details={"shared_rows": len(shared)},
    )
