"""TensorFlow Serving's REST form of requests and answers, and what AWS's container makes of others.

Sources: TensorFlow Serving's "RESTful API" page (rows, columns, `b64`, NaN and Infinity as JavaScript's words), and the
nginx script of AWS's TensorFlow inference container (which bodies pass, and which become rows).
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloudmodel.serving.runtime.errors import RequestRefused, UnsupportedType
from cloudmodel.serving.runtime.tensors import Spec, to_array

JSON, JSON_LINES, CSV = "application/json", ("application/jsonlines", "application/jsons"), "text/csv"
KNOWN = ("instances", "inputs", "examples")
DEFAULT_SIGNATURE = "serving_default"

Arrays = Mapping[str, NDArray[Any]]


class Predict(NamedTuple):
    """A request as it was sent: `rows` (instances) or columns (inputs)."""

    signature: str
    rows: bool
    values: Any


def read(body: bytes) -> Predict:
    """A body of the REST API. Raises RequestRefused."""
    document = _load(body)
    if not isinstance(document, dict):
        raise RequestRefused('expected {"instances": [row, ...]} or {"inputs": ...}')
    signature = document.get("signature_name") or DEFAULT_SIGNATURE
    if ("instances" in document) == ("inputs" in document) or not isinstance(signature, str):
        raise RequestRefused('expected exactly one of "instances" and "inputs", and a text as "signature_name"')
    if "inputs" in document:
        return Predict(signature, False, document["inputs"])
    rows = document["instances"]
    if not isinstance(rows, list) or not rows:
        raise RequestRefused('"instances" must be a list with at least one row')
    return Predict(signature, True, rows)


def from_container(body: bytes, content_type: str) -> bytes:
    """A body of AWS's container as one of the REST API. Raises RequestRefused, UnsupportedType."""
    kind = content_type.split(";")[0].strip().lower()
    if kind == JSON:
        document = _load(body)
        if isinstance(document, dict) and any(key in document for key in KNOWN):
            return body
        nested = isinstance(document, list) and bool(document) and isinstance(document[0], list)
        return json.dumps({"instances": document if nested else [document]}).encode()
    if kind in JSON_LINES:
        return json.dumps({"instances": [_load(line) for line in body.splitlines() if line.strip()]}).encode()
    if kind == CSV:
        return json.dumps({"instances": _cells(body)}).encode()
    raise UnsupportedType(f"content type {kind!r} is not read here; send one of {JSON}, {JSON_LINES[0]}, {CSV}")


def arrays(request: Predict, specs: Sequence[Spec]) -> dict[str, NDArray[Any]]:
    """The inputs by name. Raises RequestRefused."""
    by_name = {spec.name: spec for spec in specs}
    if not request.rows:
        named = isinstance(request.values, dict) and set(request.values) != {"b64"}
        columns = request.values if named else _only(specs, request.values)
    elif all(isinstance(row, dict) and set(row) != {"b64"} for row in request.values):
        columns = {name: [row.get(name) for row in request.values] for name in request.values[0]}
        if any(set(row) != set(columns) for row in request.values):
            raise RequestRefused("every instance must name the same inputs")
    else:
        columns = _only(specs, request.values)
    if set(columns) != set(by_name):
        raise RequestRefused(f"the inputs are {sorted(columns)}; the model takes {_takes(specs)}")
    return {name: to_array(_decoded(value), by_name[name]) for name, value in columns.items()}


def write(request: Predict, outputs: Arrays) -> bytes:
    """`predictions` for rows, `outputs` for columns; one output alone goes without its name. Raises RequestRefused
    where an output has no row for each instance."""
    lists = {name: _plain(array, name) for name, array in outputs.items()}
    if not request.rows:
        return _dump({"outputs": next(iter(lists.values())) if len(lists) == 1 else lists})
    count = len(request.values)
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != count:
            raise RequestRefused(
                f'Tensor name: {name} has no batch dimension of {count}; ask in columns, with "inputs"'
            )
    if len(lists) == 1:
        return _dump({"predictions": next(iter(lists.values()))})
    return _dump({"predictions": [{name: rows[place] for name, rows in lists.items()} for place in range(count)]})


def _dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _load(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"JSON Parse error: {error}") from None


def _cells(body: bytes) -> list[list[Any]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(body.decode(), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestRefused(f"not CSV: {error}") from None
    return [[_number(cell) for cell in row] for row in rows]


def _number(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _only(specs: Sequence[Spec], value: Any) -> dict[str, Any]:
    if len(specs) != 1:
        raise RequestRefused(f"the model has {len(specs)} inputs, which must be named: {_takes(specs)}")
    return {specs[0].name: value}


def _decoded(value: Any) -> Any:
    """`{"b64": …}` as text. Raises RequestRefused for bytes that are no UTF-8: strings are text here."""
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True).decode()
        except (TypeError, binascii.Error, UnicodeDecodeError) as error:
            raise RequestRefused(f"not base64 of UTF-8: {error}") from None
    return value


def _plain(array: NDArray[Any], name: str) -> Any:
    """Lists. Strings are text, and base64 where the output's name ends with _bytes."""
    if array.dtype.kind not in "OSU":
        return array.tolist()
    encode = name.endswith("_bytes")

    def one(value: Any) -> Any:
        content = value if isinstance(value, bytes) else str(value).encode()
        return {"b64": base64.b64encode(content).decode()} if encode else content.decode("utf-8", "replace")

    return np.vectorize(one, otypes=[object])(array).tolist() if array.size else array.tolist()


def _takes(specs: Sequence[Spec]) -> str:
    return "; ".join(map(str, specs))
