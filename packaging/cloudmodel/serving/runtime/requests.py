"""What a client may send, read without trusting it: JSON, npy, npz and CSV.

Parsing knows nothing of the model, as AWS's `input_fn` does not; `arrays` brings the values into the model's form.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
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
IMAGES = ("image/jpeg", "image/png")
CONTENT_TYPES = (JSON, NPY, NPZ, CSV)

MAX_UNPACKED = 1 << 28  # bytes that an npz may unpack to: ten times the largest request that SageMaker passes on
MAX_RANK = 32
MAX_NPY_HEADER = 10_000  # numpy's own limit
DESCR = re.compile(rb"'descr'\s*:\s*'([<>=|]?(?:b1|[iuf]\d{1,2}|U\d{1,7}|\?))'")
ORDER = re.compile(rb"'fortran_order'\s*:\s*(True|False)")
SHAPE = re.compile(rb"'shape'\s*:\s*\(\s*((?:\d{1,18}\s*,\s*)*(?:\d{1,18}\s*)?)\)")


class Request(NamedTuple):
    """Values as they were sent. `form`: `inputs` (by name), `instances` (rows), `single` (one array), `cells` (a
    table), `image` (the bytes of one)."""

    form: str
    values: Any


def parse(data: Any, content_type: str | None) -> Request:
    """Read a request body: bytes, text, or for JSON what a server has read of it already.

    Raises RequestRefused with what was expected, UnsupportedType for another type.
    """
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
    if kind in IMAGES:
        return Request("image", raw)
    raise UnsupportedType(f"content type {kind!r} is not read here; send one of {', '.join(CONTENT_TYPES)}")


def arrays(request: Request, specs: Sequence[Spec]) -> dict[str, Array]:
    """The model's inputs by name, in its dtypes and shapes. Raises RequestRefused."""
    if request.form == "image":
        raise UnsupportedType(f"this model takes no images; send one of {', '.join(CONTENT_TYPES)}")
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
    """An array from npy bytes (format versions 1 to 3), without pickles and without an allocation that the header
    alone asks for. The header is matched, not evaluated as Python, which numpy's own reader does. Raises
    RequestRefused.
    """
    start, header = _npy_header(raw)
    descr, order, shape = DESCR.search(header), ORDER.search(header), SHAPE.search(header)
    if not (descr and order and shape):
        raise RequestRefused("an npy array of this dtype is not read here; send numbers, booleans or strings")
    try:
        dtype = np.dtype(descr[1].decode("ascii"))
        sizes = tuple(int(size) for size in shape[1].split(b",") if size.strip())
    except (TypeError, ValueError) as error:
        raise RequestRefused(f"not an npy array: {error}") from None
    if len(sizes) > MAX_RANK or dtype.itemsize == 0:
        raise RequestRefused(f"an npy array of shape {sizes} and dtype {dtype} is not read here")
    count = math.prod(sizes)
    if count * dtype.itemsize != len(raw) - start:
        raise RequestRefused(
            f"the npy header promises {count * dtype.itemsize} bytes of shape {list(sizes)}, {len(raw) - start} came"
        )
    if count == 0:
        return np.empty(sizes, dtype.newbyteorder("="))
    values = np.frombuffer(raw, dtype, count, start).reshape(sizes, order="F" if order[1] == b"True" else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _npy_header(raw: bytes) -> tuple[int, bytes]:
    """Where the values start, and the header before them."""
    if raw[:6] != b"\x93NUMPY" or raw[6:7] not in (b"\1", b"\2", b"\3"):
        raise RequestRefused("not an npy array: it begins with another mark")
    begin = 10 if raw[6] == 1 else 12
    stop = begin + int.from_bytes(raw[8:begin], "little")
    if stop > min(len(raw), MAX_NPY_HEADER):
        raise RequestRefused("not an npy array: its header is longer than it may be")
    return stop, raw[begin:stop]


def _json(data: Any) -> Request:
    try:
        document = json.loads(data) if isinstance(data, (bytes, bytearray, str)) else data
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
        text = (data if isinstance(data, str) else data.decode("utf-8")).removeprefix("\ufeff")  # spreadsheets write it
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
