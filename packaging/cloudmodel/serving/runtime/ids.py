"""Ids of a catalogue (users, items): looked up in the lists that the model was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import RequestRefused
from .requests import Request
from .tensors import Array, Spec, to_array


class Ids:
    """A list of known ids by input: an id's place in it is what the model takes."""

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        self._places: dict[str, dict[str, int]] = {}
        for name, file in document["maps"].items():
            lines = (folder / file).read_text(encoding="utf-8").split("\n")
            self._places[name] = {line: place for place, line in enumerate(lines) if line or place < len(lines) - 1}

    def takes(self, request: Request) -> bool:
        """Rows by name; ids in columns or arrays are the model's own numbers."""
        return request.form == "instances" and any(isinstance(row, dict) for row in request.values)

    def arrays(self, request: Request, specs: Sequence[Spec]) -> dict[str, Array]:
        """Every input by name; those without a list as they were sent."""
        wanted = {spec.name for spec in specs}
        expected = f"each instance must have {', '.join(sorted(wanted))}"
        for place, row in enumerate(request.values):
            if not isinstance(row, dict) or set(row) != wanted:
                raise RequestRefused(f"instance {place} is not such a row: {expected}")
        found = {}
        for spec in specs:
            column = [row[spec.name] for row in request.values]
            known = self._places.get(spec.name)
            values = column if known is None else [_place(value, known, spec.name) for value in column]
            shape = (len(values), *(1 for _ in spec.shape[1:])) if known is not None else None
            array = to_array(values, spec._replace(shape=("batch",)) if shape else spec)
            found[spec.name] = array.reshape(shape) if shape else array
        return found

    def finish(self, request: Request, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """As they are."""
        return outputs


def _place(value: Any, known: Mapping[str, int], name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int) or str(value) not in known:
        example = next(iter(known), "")
        raise RequestRefused(
            f"{name} {value!r} is none of the {len(known)} ids that the model knows, such as {example!r}"
        )
    return known[str(value)]


def load(folder: Path, document: Mapping[str, Any]) -> Ids:
    """Ids as `preprocess.json` describes them."""
    return Ids(folder, document)
