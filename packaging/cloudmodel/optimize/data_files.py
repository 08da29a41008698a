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
        raise ProjectInvalid(f"The data cannot be read: {_line(error)}", where=str(path)) from None


def _npz(path: Path, _: Signature) -> Arrays:
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def _csv(path: Path, signature: Signature) -> Arrays:
    """A header line; a column an input where all inputs are single values, else all columns but labels and groups are
    the numbers of the only input."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    if not rows:
        return {tensor.name: np.empty((0,) * max(1, len(tensor.shape))) for tensor in signature.inputs}
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row has another number of columns than the header")
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    own = {"labels", "label", "y", "targets", "target", "groups"}
    arrays: dict[str, NDArray[Any]] = {name: _numbers(columns[name]) for name in columns if name in own}
    names = [tensor.name for tensor in signature.inputs]
    if set(names) <= set(columns):
        for tensor in signature.inputs:
            values = columns[tensor.name]
            column = values if tensor.dtype == "str" else values.astype(np.float64).astype(tensor.dtype)
            arrays[tensor.name] = column if len(tensor.shape) == 1 else column[:, None]
        return arrays
    if len(names) != 1:
        raise ValueError(f"the header names {', '.join(columns)}; the inputs are {', '.join(names)}")
    flat = [columns[name].astype(np.float64) for name in columns if name not in own]
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
    if not rows:
        return {tensor.name: np.empty((0,) * max(1, len(tensor.shape))) for tensor in signature.inputs}
    types = {tensor.name: tensor.dtype for tensor in signature.inputs}
    arrays = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        array = np.array(values)
        kind = types.get(name)
        arrays[name] = array.astype(kind) if kind and kind != "str" and array.dtype.kind in "iufb" else array
    return arrays


def _parquet(path: Path, _: Signature) -> Arrays:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise ProjectInvalid(
            "Parquet files need pyarrow", where=str(path), hint="pip install pyarrow, or write the rows as npz"
        ) from None
    table = parquet.read_table(path)
    arrays = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        arrays[name] = np.array(values)
    return arrays


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
        raise ProjectInvalid(f"{reference} failed: {type(error).__name__}: {_line(error)}", where=reference) from error
    if not isinstance(answer, Mapping):
        raise ProjectInvalid(
            f"{reference} returned {type(answer).__name__}", where=reference, hint="return a mapping of arrays by name"
        )
    return {str(name): np.asarray(value) for name, value in answer.items()}


def _numbers(column: NDArray[Any]) -> NDArray[Any]:
    """Integers where all are, else floats where all are, else the words."""
    for kind in (np.int64, np.float64):
        try:
            return column.astype(kind)
        except ValueError:
            continue
    return column


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
