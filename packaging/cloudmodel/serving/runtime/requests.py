"""What a client may send, read without trusting it: JSON, npy, npz and CSV.

Parsing knows nothing of the model, as AWS's `input_fn` does not; `arrays` brings the values into the model's form.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .errors import RequestRefused, UnsupportedType
from .tensors import Array, Spec, parse_cells, to_array

JSON = "application/json"
NPY = "application/x-npy"
NPZ = "application/x-npz"
CSV = "text/csv"
CONTENT_TYPES = (JSON, NPY, NPZ, CSV)

MAX_UNPACKED = 1 << 28  # bytes that an npz may unpack to: ten times the largest request that SageMaker passes on
MAX_RANK = 32


class Request(NamedTuple):
    """Values as they were sent. `form`: `inputs` (by name), `instances` (rows), `single` (one array), `cells` (a
    table)."""

    form: str
    values: Any


def parse(data: bytes | bytearray | str, content_type: str | None) -> Request:
    """Read a request body. Raises RequestRefused with what was expected, UnsupportedType for another type."""
    kind = (content_type or JSON).split(";")[0].strip().lower()
    if kind == JSON:
        return _json(data)
    if kind == CSV:
        return _csv(data)
    raw = data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)
    if kind == NPY:
        return Request("single", read_npy(raw))
    if kind == NPZ:
        return Request("inputs", _npz(raw))
    raise UnsupportedType(f"content type {kind!r} is not read here; send one of {', '.join(CONTENT_TYPES)}")


def arrays(request: Request, specs: Sequence[Spec]) -> dict[str, Array]:
    """The model's inputs by name, in its dtypes and shapes. Raises RequestRefused."""
    if request.form == "cells":
        return _from_cells(request.values, specs)
    if request.form == "instances":
        return _from_rows(request.values, specs)
    if request.form == "single":
        if len(specs) != 1:
            raise RequestRefused(f"one array was sent and the model has {len(specs)} inputs: {_takes(specs)}")
        return {specs[0].name: to_array(request.values, specs[0])}
    _check_names(request.values, specs)
    return {spec.name: to_array(request.values[spec.name], spec) for spec in specs}


def read_npy(raw: bytes) -> Array:
    """An array from npy bytes, without pickles and without an allocation that the header alone asks for."""
    file = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise RequestRefused(f"npy format version {version[0]}.{version[1]} is not read here; write 1.0 or 2.0")
    except RequestRefused:
        raise
    except Exception as error:  # numpy's parser of the header lets through what tokenize raises
        raise RequestRefused(f"not an npy array: {error}") from None
    if dtype.hasobject or dtype.kind not in "biufU":
        raise RequestRefused(f"an npy array of dtype {dtype} is not read here; send numbers, booleans or strings")
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise RequestRefused(f"not an npy array: shape {shape}")
    count = 1
    for size in shape:
        count *= size
    start = file.tell()
    if count * dtype.itemsize != len(raw) - start:
        raise RequestRefused(
            f"the npy header promises {count * dtype.itemsize} bytes of shape {list(shape)}, {len(raw) - start} came"
        )
    if count == 0:
        return np.empty(shape, dtype)
    values = np.frombuffer(raw, dtype, count, start).reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _json(data: bytes | bytearray | str) -> Request:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"not JSON: {error}") from None
    if isinstance(document, dict):
        if set(document) == {"inputs"} and isinstance(document["inputs"], dict):
            return Request("inputs", document["inputs"])
        if set(document) == {"instances"} and isinstance(document["instances"], list):
            return Request("instances", document["instances"])
    raise RequestRefused('expected {"inputs": {NAME: nested lists}} or {"instances": [row, ...]}')


def _csv(data: bytes | bytearray | str) -> Request:
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestRefused(f"not CSV: {error}") from None
    if not rows:
        raise RequestRefused("the CSV has no rows")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise RequestRefused(f"CSV row {number} has {len(row)} cells and row 1 has {len(rows[0])}")
    return Request("cells", rows)


def _npz(raw: bytes) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_UNPACKED:
                raise RequestRefused(f"the npz unpacks to more than {MAX_UNPACKED >> 20} MiB")
            return {member.filename.removesuffix(".npy"): read_npy(archive.read(member)) for member in members}
    except RequestRefused:
        raise
    except Exception as error:  # zipfile and zlib raise a dozen kinds for bytes that are no archive
        raise RequestRefused(f"not an npz archive: {error}") from None


def _takes(specs: Sequence[Spec]) -> str:
    return "; ".join(map(str, specs))


def _check_names(values: Mapping[str, Any], specs: Sequence[Spec]) -> None:
    wanted = {spec.name for spec in specs}
    missing, unknown = sorted(wanted - set(values)), sorted(set(values) - wanted)
    if missing or unknown:
        found = [f"missing {name!r}" for name in missing] + [f"unknown {name!r}" for name in unknown]
        raise RequestRefused(f"{', '.join(found)}; the model takes {_takes(specs)}")


def _from_rows(rows: list[Any], specs: Sequence[Spec]) -> dict[str, Array]:
    named = bool(rows) and all(isinstance(row, dict) for row in rows)
    if not named:
        if len(specs) != 1:
            raise RequestRefused(f"each instance must be an object with the inputs; the model takes {_takes(specs)}")
        return {specs[0].name: to_array(rows, specs[0])}
    for row in rows:
        _check_names(row, specs)
    return {spec.name: to_array([row[spec.name] for row in rows], spec) for spec in specs}


def _from_cells(rows: list[list[str]], specs: Sequence[Spec]) -> dict[str, Array]:
    width = len(rows[0])
    if len(specs) == 1 and specs[0].row_size == -1 and len(specs[0].shape) == 2:
        return {specs[0].name: parse_cells(rows, specs[0])}
    if any(spec.row_size < 0 or not spec.shape for spec in specs):
        raise RequestRefused(f"CSV carries inputs with rows of a fixed size only; the model takes {_takes(specs)}")
    wanted = sum(spec.row_size for spec in specs)
    if width != wanted:
        raise RequestRefused(f"a CSV row has {width} cells, {wanted} were expected; the model takes {_takes(specs)}")
    result, start = {}, 0
    for spec in specs:
        result[spec.name] = parse_cells([row[start : start + spec.row_size] for row in rows], spec)
        start += spec.row_size
    return result
