"""The project's labelled data as arrays by input name, checked against the model before any work starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats import samples
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.optimize import data_files

Array = NDArray[Any]
LABELS = ("labels", "label", "y", "targets", "target")
GROUPS = "groups"
"""The array that says which rows are one query, for the ranking metrics."""


@dataclass(frozen=True)
class Dataset:
    """Rows for every input of the model (first dimension = rows), their labels, and the file they came from."""

    inputs: Mapping[str, Array]
    labels: Array | None
    groups: Array | None
    where: str

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, rows: Array | Sequence[int]) -> Dataset:
        """The rows of these numbers, in this order."""
        index = np.asarray(rows, dtype=np.int64)
        return Dataset(
            inputs={name: array[index] for name, array in self.inputs.items()},
            labels=None if self.labels is None else self.labels[index],
            groups=None if self.groups is None else self.groups[index],
            where=self.where,
        )

    @cached_property
    def hashes(self) -> list[bytes]:
        """The sha256 of each row's inputs; labels are not in it, for a row seen with another label was seen."""
        digests = [hashlib.sha256() for _ in range(len(self))]
        for name in sorted(self.inputs):
            array = self.inputs[name]
            for row, digest in zip(array, digests, strict=True):
                digest.update(name.encode() + b"\0" + _bytes(np.asarray(row, dtype=array.dtype)) + b"\0")
        return [digest.digest() for digest in digests]

    @property
    def digest(self) -> str:
        """The hex sha256 over all rows and labels in their order."""
        digest = hashlib.sha256(b"".join(self.hashes))
        for more in (self.labels, self.groups):
            digest.update(b"\0" if more is None else _bytes(more))
        return digest.hexdigest()

    def write(self, path: Path) -> Path:
        """Write an npz file with an array an input, and `labels` and `groups` where there are any; returns `path`."""
        arrays = dict(self.inputs)
        arrays |= {} if self.labels is None else {"labels": self.labels}
        arrays |= {} if self.groups is None else {GROUPS: self.groups}
        samples.write_npz(path, {name: _storable(array) for name, array in arrays.items()})
        return path


def load(reference: str, folder: Path, signature: Signature) -> Dataset:
    """The rows that `reference` names: an npz, csv, jsonl or parquet file, or a Python function `module:function` of
    the project that returns a mapping of arrays.

    Raises ProjectInvalid naming the file, the tensor and what to change: no such file, no rows, another shape or
    type, another number of labels, NaN or infinity.
    """
    arrays, where = data_files.read(reference, folder, signature)
    inputs = {tensor.name: _column(arrays, tensor, signature, where) for tensor in signature.inputs}
    counts = {name: len(array) for name, array in inputs.items()}
    if len(set(counts.values())) > 1:
        raise ProjectInvalid(
            f"The inputs have different numbers of rows: {counts}", where=where, hint="row by row they belong together"
        )
    count = next(iter(counts.values()))
    named = next((name for name in LABELS if name in arrays and name not in inputs), None)
    labels = None if named is None else np.asarray(arrays[named])
    groups = np.asarray(arrays[GROUPS]) if GROUPS in arrays else None
    for what, column in ((named, labels), (GROUPS, groups)):
        if column is not None and (found := len(column) if column.ndim else "no") != count:
            raise ProjectInvalid(f"{what!r} has {found} entries for {count} rows", where=where, hint="one entry a row")
    if labels is not None and labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argmax(~np.isfinite(labels.reshape(count, -1)).all(axis=1)))
        raise ProjectInvalid(f"The label of row {row} is no number", where=where, hint="leave such rows out")
    return Dataset(inputs=inputs, labels=labels, groups=groups, where=where)


def read_npz(path: Path, signature: Signature) -> Dataset:
    """A file that `Dataset.write` wrote."""
    return load(path.name, path.parent, signature)


def check_calibration(data: Dataset) -> None:
    """Raises ProjectInvalid where ranges taken from these rows would be useless: an input that is zero everywhere
    gives a scale of zero, and onnxruntime takes it without a word."""
    for name, array in data.inputs.items():
        if array.dtype.kind == "f" and not np.any(array):
            raise ProjectInvalid(
                f"Input {name!r} is zero in all {len(array)} calibration rows",
                where=data.where,
                hint="give rows like those that will be served as optimize.calibrate",
            )


def _column(arrays: Mapping[str, Array], tensor: Tensor, signature: Signature, where: str) -> Array:
    name = tensor.name
    if name not in arrays and len(signature.inputs) == 1:
        name = next((common for common in samples.COMMON_NAMES if common in arrays), name)
    if name not in arrays:
        wanted = ", ".join(each.name for each in signature.inputs)
        raise ProjectInvalid(
            f"The data have no array {tensor.name!r}; they have {', '.join(sorted(arrays)) or 'none'}",
            where=where,
            hint=f"name the arrays as the model's inputs: {wanted}",
        )
    array = arrays[name]
    if array.ndim and not len(array):
        raise ProjectInvalid(
            f"The data hold no rows for input {name!r}", where=where, hint="write at least one row for every input"
        )
    # A flat row of numbers fits any shape of as many numbers: that is how csv holds an image.
    fixed = tensor.shape[1:]
    if array.ndim == 2 and len(fixed) > 1 and all(isinstance(size, int) for size in fixed):
        sizes = tuple(int(size) for size in fixed)
        if array.shape[1] == int(np.prod(sizes)):
            array = array.reshape(len(array), *sizes)
    fits = array.ndim == len(tensor.shape) and all(
        isinstance(wanted, str) or wanted == found for wanted, found in zip(fixed, array.shape[1:], strict=True)
    )
    if not fits:
        raise ProjectInvalid(
            f"The data are {list(array.shape)} for input {tensor.name!r} {list(tensor.shape)}",
            where=where,
            hint="the first dimension counts the rows, the others are the model's",
        )
    if tensor.dtype == "str":
        return array.astype(object)
    if not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
        raise ProjectInvalid(
            f"The data are {array.dtype} for input {tensor.name!r}, which takes {tensor.dtype}",
            where=where,
            hint="write that array as numbers that the model takes",
        )
    converted = array.astype(tensor.dtype)
    if converted.dtype.kind == "f" and not np.isfinite(converted).all():
        row = int(np.argmax(~np.isfinite(converted.reshape(len(converted), -1)).all(axis=1)))
        raise ProjectInvalid(
            f"Input {tensor.name!r} holds NaN or infinity (row {row})", where=where, hint="mend or leave out that row"
        )
    return converted


def _bytes(array: Array) -> bytes:
    if array.dtype.kind in "OUS":
        return b"\0".join(str(value).encode() for value in np.ravel(array))
    return f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()


def _storable(array: Array) -> Array:
    return array.astype(np.str_) if array.dtype == object else array
