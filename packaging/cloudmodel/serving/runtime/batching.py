"""Requests that wait together, predicted together: their rows are joined, and the answer's rows are split back.

Only where a model's rows are shown not to touch one another. A request that fails beside others is asked again alone,
so nobody answers for another's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from .tensors import Array, Spec

Outcome = dict[str, Array] | Exception
ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""How far a row's answer may differ beside another one: parity's own bounds for another order of sums."""


class Runnable(Protocol):
    """A loaded model."""

    inputs: tuple[Spec, ...]

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name."""


def rows_are_independent(model: Runnable, zeros: Mapping[str, Array]) -> bool:
    """Whether a row of ones and a row of zeros are answered beside each other as they are alone.

    False where an input's first dimension is a number, where they begin with different symbols, where the model refuses
    such rows, and where it writes behind texts: one that has ended waits for the longest.
    """
    if getattr(model, "writes", False):
        return False
    leading = {spec.shape[0] if spec.shape else 0 for spec in model.inputs}
    if len(leading) != 1 or not isinstance(leading.pop(), str):
        return False
    first = {name: array[:1] for name, array in zeros.items()}
    second = {name: np.full_like(array, "a" if array.dtype == object else 1) for name, array in first.items()}
    try:
        alone = [model.run(first), model.run(second)]
        beside = model.run({name: np.concatenate([first[name], second[name], second[name]]) for name in first})
    except Exception:
        return False
    if not all(array.ndim and len(array) == 1 for each in alone for array in each.values()):
        return False
    return all(
        len(array) == 3 and all(_same(array[place : place + 1], alone[place > 0][name]) for place in range(3))
        for name, array in beside.items()
    )


def _same(left: Array, right: Array) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    return bool(np.allclose(left, right, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))


def run_together(requests: Sequence[Mapping[str, Array]], model: Runnable) -> list[Outcome]:
    """The outputs of every request, or what its own prediction raises."""
    outcomes: list[Outcome] = [RuntimeError("not asked")] * len(requests)
    for members in _alike(requests):
        for place, outcome in zip(members, _run_alike([requests[place] for place in members], model), strict=True):
            outcomes[place] = outcome
    return outcomes


def _alike(requests: Sequence[Mapping[str, Array]]) -> list[list[int]]:
    """The places of requests whose rows have the same form, group by group."""
    groups: dict[object, list[int]] = {}
    for place, arrays in enumerate(requests):
        lengths = {len(array) for array in arrays.values()}
        form = tuple((name, array.shape[1:]) for name, array in sorted(arrays.items()))
        groups.setdefault(form if len(lengths) == 1 else place, []).append(place)
    return list(groups.values())


def _run_alike(requests: Sequence[Mapping[str, Array]], model: Runnable) -> list[Outcome]:
    if len(requests) > 1:
        rows = [len(next(iter(arrays.values()))) for arrays in requests]
        try:
            joined = model.run({name: np.concatenate([each[name] for each in requests]) for name in requests[0]})
            if all(array.ndim and len(array) == sum(rows) for array in joined.values()):
                ends = np.cumsum(rows).tolist()
                return [
                    {name: array[end - count : end] for name, array in joined.items()}
                    for count, end in zip(rows, ends, strict=True)
                ]
        except Exception:  # noqa: S110  one of them may be at fault: each is asked alone below
            pass
    return [_run_alone(arrays, model) for arrays in requests]


def _run_alone(arrays: Mapping[str, Array], model: Runnable) -> Outcome:
    try:
        return model.run(arrays)
    except Exception as error:
        return error
