"""The signature of a model whose own file does not say it: `code/signature.json`, written when it was packaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .tensors import Spec

PLACE = Path("code") / "signature.json"


class Declared(NamedTuple):
    """Inputs and outputs in the model's order."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]


def read(model_dir: str) -> Declared:
    """The signature of the bundle in `model_dir`. Raises OSError, ValueError, KeyError where there is none."""
    return from_document(json.loads((Path(model_dir) / PLACE).read_text()))


def from_document(document: Mapping[str, Any]) -> Declared:
    """A signature as `signature.json` and the manifest write it. Raises KeyError, TypeError, ValueError."""
    return Declared(*(tuple(_spec(entry) for entry in document[side]) for side in ("inputs", "outputs")))


def _spec(entry: dict[str, object]) -> Spec:
    name, dtype, shape = str(entry["name"]), str(entry["dtype"]), entry["shape"]
    if not isinstance(shape, list):
        raise ValueError(f"the shape of {name} is no list")
    return Spec(name, dtype, tuple(size if isinstance(size, int) else str(size) for size in shape))
