"""What a client gets back, in the form it accepts.

Floats that are no numbers are written as NaN, Infinity and -Infinity in JSON, as TensorFlow Serving's REST API does.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import NotAcceptable, RequestRefused
from .requests import CSV, JSON, NPY, NPZ
from .tensors import Array

ANY = {"*/*": JSON, "application/*": JSON, "text/*": CSV, "": JSON}


class Prediction(NamedTuple):
    """The model's outputs by name, in its order. With `rows` the client sent that many instances and gets
    predictions."""

    outputs: Mapping[str, Array]
    rows: int | None = None


def encode(prediction: Prediction, accept: str | None) -> tuple[bytes | str, str]:
    """The body and its content type. Raises NotAcceptable where no form in `accept` is written here."""
    writers: dict[str, Callable[[Prediction], bytes | str]] = {JSON: _json, NPY: _npy, NPZ: _npz, CSV: _csv}
    for choice in _preferred(accept or JSON):
        kind = ANY.get(choice, choice)
        if kind in writers:
            return writers[kind](prediction), kind
    raise NotAcceptable(f"an answer as {accept!r} is not written here; accept one of {', '.join(writers)}")


def _preferred(accept: str) -> list[str]:
    """The media ranges of an Accept header, the one with the highest `q` first, without those that q=0 rules out."""
    ranked: list[tuple[float, str]] = []
    for choice in accept.split(","):
        kind, *parameters = [part.strip().lower() for part in choice.split(";")]
        try:
            quality = next((float(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        except ValueError:
            quality = 1.0
        if quality > 0:
            ranked.append((quality, kind))
    return [kind for _, kind in sorted(ranked, key=lambda entry: -entry[0])]


def _json(prediction: Prediction) -> str:
    outputs = prediction.outputs
    if prediction.rows is None:
        document: dict[str, Any] = {"outputs": {name: array.tolist() for name, array in outputs.items()}}
    else:
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != prediction.rows:
                raise RequestRefused(
                    f"output {name!r} has shape {list(array.shape)}, not one row for each of the {prediction.rows} "
                    'instances; ask with {"inputs": {NAME: ...}}'
                )
        lists = {name: array.tolist() for name, array in outputs.items()}
        if len(lists) == 1:
            document = {"predictions": next(iter(lists.values()))}
        else:
            document = {
                "predictions": [{name: rows[i] for name, rows in lists.items()} for i in range(prediction.rows)]
            }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _plain(array: Array) -> Array:
    """Strings as numpy's fixed-width type, which npy holds without pickles."""
    return array.astype(np.str_) if array.dtype == object else array


def _npy(prediction: Prediction) -> bytes:
    return _npy_bytes(next(iter(prediction.outputs.values())))


def _npy_bytes(array: Array) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, _plain(array), allow_pickle=False)
    return file.getvalue()


def _npz(prediction: Prediction) -> bytes:
    """Not by numpy's savez, whose own arguments (`file`, `allow_pickle`) are names that an output may have."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in prediction.outputs.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy_bytes(array))
    return file.getvalue()


def _csv(prediction: Prediction) -> str:
    columns = [array.reshape(len(array) if array.ndim else 1, -1) for array in prediction.outputs.values()]
    if len({len(column) for column in columns}) != 1:
        raise NotAcceptable("the outputs have different numbers of rows; accept application/json")
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    for row in zip(*[column.tolist() for column in columns], strict=True):
        writer.writerow([cell for part in row for cell in part])
    return file.getvalue()
