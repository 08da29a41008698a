"""Reading labelled data from the kinds of file that `evaluate.data` and `optimize.train` may name."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.factory import function
from cloudmodel.formats.model import Signature

Arrays = Mapping[str, NDArray[Any]]
OWN = frozenset({"labels", "label", "y", "targets", "target", "groups"})
"""Columns of a table that belong to no input."""


def read(reference: str, folder: Path, signature: Signature) -> tuple[Arrays, str]:
    """The arrays of a file or function by name, and how to call it in a message. Raises ProjectInvalid."""
    if ":" in reference and not (folder / reference).exists():
        return _function(reference, folder), reference
    path = folder / reference
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ProjectInvalid(
            f"Data are not read from {path.suffix or 'such'} files",
            where=str(path),
            hint=f"give one of {', '.join(READERS)}, or module:function",
        )
    if not path.is_file():
        raise ProjectInvalid("There is no such data file", where=str(path), hint="check evaluate.data and optimize")
    try:
        return reader(path, signature), str(path)
    except ProjectInvalid:
        raise
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, csv.Error) as error:
        raise ProjectInvalid(
            f"The data cannot be read: {_line(error)}", where=str(path), hint="mend the file, or write it as npz"
        ) from None


def _npz(path: Path, _: Signature) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no npz file; numpy.savez writes one")
    with np.load(path, allow_pickle=False) as data:
        arrays = {}
        for name in data.files:
            try:
                arrays[name] = data[name]
            except ValueError as error:
                raise ValueError(f"array {name!r} holds Python objects; write it as numbers or strings") from error
        return arrays


def _csv(path: Path, signature: Signature) -> Arrays:
    """A header line, then a line a row: see `_columns`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    if not rows:
        return {tensor.name: np.empty((0,) * max(1, len(tensor.shape))) for tensor in signature.inputs}
    odd = next((number for number, row in enumerate(rows, 1) if None in row or None in row.values()), None)
    if odd is not None:
        raise ValueError(f"row {odd} has another number of columns than the header")
    return _columns({name: np.array([row[name] for row in rows]) for name in rows[0]}, signature)


def _columns(columns: Mapping[str, NDArray[Any]], signature: Signature) -> Arrays:
    """A column an input where all inputs are single values, else all but labels and groups are the numbers of the only
    input, in their order."""
    arrays: dict[str, NDArray[Any]] = {name: _numbers(columns[name]) for name in columns if name in OWN}
    names = [tensor.name for tensor in signature.inputs]
    if set(names) <= set(columns):
        for tensor in signature.inputs:
            values = columns[tensor.name]
            column = values if tensor.dtype == "str" else _floats(values, tensor.name).astype(tensor.dtype)
            arrays[tensor.name] = column if len(tensor.shape) == 1 else column[:, None]
        return arrays
    if len(names) != 1:
        raise ValueError(f"the header names {', '.join(columns)}; the inputs are {', '.join(names)}")
    flat = [_floats(columns[name], name) for name in columns if name not in OWN]
    if not flat:
        raise ValueError(f"there is no column but {', '.join(columns)}")
    arrays[names[0]] = np.stack(flat, axis=1).astype(signature.inputs[0].dtype)
    return arrays


def _jsonl(path: Path, signature: Signature) -> Arrays:
    """An object a line: `{"<input>": …, "label": …}`, or the inputs below `inputs`."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is no object")
                inputs = row.pop("inputs", {})
                rows.append({**row, **(inputs if isinstance(inputs, dict) else {"inputs": inputs})})
                if rows[-1].keys() != rows[0].keys():
                    other = sorted(rows[-1].keys() ^ rows[0].keys())
                    raise ValueError(f"line {number} and the first do not both have {', '.join(other)}")
    if not rows:
        return {tensor.name: np.empty((0,) * max(1, len(tensor.shape))) for tensor in signature.inputs}
    types = {tensor.name: tensor.dtype for tensor in signature.inputs}
    arrays = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        try:
            array = np.array(values)
        except ValueError:
            raise ValueError(f"the rows of {name!r} differ in their shape") from None
        kind = types.get(name)
        arrays[name] = array.astype(kind) if kind and kind != "str" and array.dtype.kind in "iufb" else array
    return _columns(arrays, signature) if _is_table(arrays, signature) else arrays


def _parquet(path: Path, signature: Signature) -> Arrays:
    """A column an array, where lists are rows; or a table as csv has it."""
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise ProjectInvalid(
            "Parquet files need pyarrow", where=str(path), hint="pip install pyarrow, or write the rows as npz"
        ) from None
    table = parquet.read_table(path)
    arrays = {}
    for name in table.column_names:
        try:
            arrays[name] = np.array(table[name].to_pylist())
        except ValueError:
            raise ValueError(f"the rows of column {name!r} differ in their shape") from None
    return _columns(arrays, signature) if _is_table(arrays, signature) else arrays


def _is_table(arrays: Arrays, signature: Signature) -> bool:
    """Whether single values stand where the model takes rows of them."""
    names = {tensor.name for tensor in signature.inputs}
    found = [array for name, array in arrays.items() if name not in OWN]
    return len(names) == 1 and not names & arrays.keys() and len(found) > 1 and all(each.ndim == 1 for each in found)


READERS: Mapping[str, Callable[[Path, Signature], Arrays]] = {
    ".npz": _npz,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}


def _function(reference: str, folder: Path) -> Arrays:
    try:
        answer = function(reference, folder)()
    except ProjectInvalid:
        raise
    except Exception as error:
        raise ProjectInvalid(
            f"{reference} failed: {type(error).__name__}: {_line(error)}",
            where=reference,
            hint="it is called without arguments, and returns a mapping of arrays by name",
        ) from error
    if not isinstance(answer, Mapping):
        raise ProjectInvalid(
            f"{reference} returned {type(answer).__name__}", where=reference, hint="return a mapping of arrays by name"
        )
    return {str(name): np.asarray(value) for name, value in answer.items()}


def _floats(column: NDArray[Any], name: str) -> NDArray[Any]:
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        row = next(place for place, value in enumerate(column) if not _is_number(value))
        raise ValueError(
            f"column {name!r} has {str(column[row])[:40]!r} in row {row + 1}, which is no number"
        ) from None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _numbers(column: NDArray[Any]) -> NDArray[Any]:
    """Integers where all are, else floats where all are, else the words."""
    for kind in (np.int64, np.float64):
        try:
            return column.astype(kind)
        except (TypeError, ValueError):
            continue
    return column


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
