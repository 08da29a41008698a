"""The first run of a model, so that no client waits for its allocations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np

from . import batching
from .tensors import Array, Spec

MANIFEST_FILE = "manifest.json"


class Runnable(batching.Runnable, Protocol):
    """A model that can be warmed up."""

    batches: bool


def warm_up(model_dir: str, model: Runnable) -> None:
    """Run the model once on zeros, in the sizes that the manifest proves to work, else with one for every symbol; then
    find out whether it batches.

    Raises what the model raises for sizes that the manifest names; a guess that the model refuses is no failure.
    """
    sizes = _proven_sizes(model_dir)
    arrays = {spec.name: _zeros(spec, sizes or {}) for spec in model.inputs}
    try:
        model.run(arrays)
    except Exception:
        if sizes is not None:
            raise
        return
    model.batches = batching.rows_are_independent(model, arrays)


def _zeros(spec: Spec, sizes: dict[str, int]) -> Array:
    shape = [size if isinstance(size, int) else sizes.get(size, 1) for size in spec.shape]
    return np.full(shape, "", object) if spec.dtype == "str" else np.zeros(shape, spec.dtype)


def _proven_sizes(model_dir: str) -> dict[str, int] | None:
    try:
        sizes = json.loads((Path(model_dir) / MANIFEST_FILE).read_text())["metadata"]["sizes"]
        return {str(symbol): int(size) for symbol, size in sizes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
