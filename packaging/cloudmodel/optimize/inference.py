"""A model's answers to all rows of a data set, computed by onnxruntime with one thread: the same on every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import samples
from cloudmodel.formats.model import Signature
from cloudmodel.formats.session import open_session
from cloudmodel.optimize.data import Dataset

Array = NDArray[Any]
MANY = 32
"""Rows of a request where throughput is wanted."""


def batch_of(signature: Signature, objective: str) -> int:
    """How many rows a request has that is timed: what the model fixes, or one, or for throughput MANY. Its answers are
    judged in batches of as many: where activations are quantized while the model runs, the rows of a request share
    their steps, and a row's answer depends on its company."""
    return fixed(signature) or (MANY if objective == "throughput" else 1)


def fixed(signature: Signature) -> int | None:
    """The number of rows that the model fixes, if it does."""
    return next(
        (tensor.shape[0] for tensor in signature.inputs if tensor.shape and isinstance(tensor.shape[0], int)), None
    )


def batches(data: Dataset, signature: Signature, size: int = MANY) -> Iterator[tuple[dict[str, Array], int]]:
    """All rows in order as inputs of a session, and how many of each batch are new: where the model fixes its batch,
    the last one is filled up with rows from the beginning."""
    whole = fixed(signature)
    size = whole or size
    for start in range(0, len(data), size):
        new = min(size, len(data) - start)
        rows = (np.arange(start, start + (whole or new))) % len(data)
        yield {name: array[rows] for name, array in data.inputs.items()}, new


def answers(model: Path | Any, data: Dataset, signature: Signature, batch: int = MANY) -> dict[str, Array]:
    """Every output by name, in the model's order, `batch` rows asked at once and all joined. Raises StepFailed where
    the model fails on a row or answers with another number of rows."""
    session = open_session(model) if isinstance(model, Path) else model
    names = [output.name for output in signature.outputs]
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for inputs, new in batches(data, signature, batch):
        given = len(next(iter(inputs.values())))
        try:
            found = session.run(names, inputs)
        except Exception as error:
            said = " ".join(str(error).split())[:500]
            memory = "Failed to allocate memory" in said or isinstance(error, MemoryError)
            raise StepFailed(
                f"It fails on a batch of {given} of the project's rows: {said}",
                hint="use a smaller model or smaller rows, or a machine with more memory" if memory else None,
            ) from None
        for name, array in zip(names, found, strict=True):
            if array.ndim == 0 or len(array) != given:
                raise StepFailed(f"Output {name!r} {list(array.shape)} has no row for each of {given} inputs")
            parts[name].append(array[:new])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def write(path: Path, found: Mapping[str, Array]) -> None:
    """Keep answers in an npz file; strings as numpy's own."""
    plain = {name: array.astype(np.str_) if array.dtype == object else array for name, array in found.items()}
    samples.write_npz(path, plain)
