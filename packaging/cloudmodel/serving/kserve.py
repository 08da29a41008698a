"""Triton's HTTP side, emulated: KServe's v2 protocol in its JSON form and with binary tensors.

Sources: the KServe "Open Inference Protocol" v2 and Triton's extensions of binary data and model configuration; the
SageMaker form of a request, whose header's size stands in its content type instead of a header of its own.
A tensor in binary is its bytes, little-endian, row by row; a string is its length in four bytes and its UTF-8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloudmodel.serving.runtime.errors import RequestRefused
from cloudmodel.serving.runtime.tensors import Spec, to_array
from cloudmodel.serving.triton import DATATYPES

LENGTH_HEADER = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
SAGEMAKER_BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="
SAGEMAKER_LENGTH = re.compile(r"application/vnd\.sagemaker-triton\.binary\+json\s*;\s*json-header-size=(\d{1,10})")
MOST_ELEMENTS = 1 << 28

Arrays = Mapping[str, NDArray[Any]]


class Inference(NamedTuple):
    """A request: the inputs by name, and for each wanted output whether it is sent in binary (None: every output)."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, bool] | None
    binary: bool
    id: str


def header_length(headers: Mapping[str, str]) -> int | None:
    """How many bytes of the body are JSON; None where all are. Raises RequestRefused for a number that is none."""
    if found := SAGEMAKER_LENGTH.match(headers.get("content-type", "")):
        return int(found[1])
    text = headers.get(LENGTH_HEADER.lower())
    if text is None:
        return None
    if not text.isdigit():
        raise RequestRefused(f"{LENGTH_HEADER} is no number: {text!r}")
    return int(text)


def read(body: bytes, length: int | None, specs: Sequence[Spec]) -> Inference:
    """A request in the form of the protocol, its values in the model's. Raises RequestRefused."""
    if length is not None and length > len(body):
        raise RequestRefused(f"{LENGTH_HEADER} says {length} bytes and the body has {len(body)}")
    try:
        document = json.loads(body if length is None else body[:length])
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"not JSON: {error}") from None
    entries = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RequestRefused('expected {"inputs": [{"name", "shape", "datatype", "data"}, ...]}')
    rest = memoryview(b"" if length is None else body[length:])
    by_name = {spec.name: spec for spec in specs}
    inputs: dict[str, NDArray[Any]] = {}
    for entry in entries:
        spec = by_name.get(entry.get("name"))
        if spec is None:
            raise RequestRefused(f"unexpected inference input {entry.get('name')!r}; the model takes {_takes(specs)}")
        inputs[spec.name], rest = _tensor(entry, spec, rest)
    if missing := sorted(set(by_name) - set(inputs)):
        raise RequestRefused(f"expected {len(specs)} inputs but got {len(inputs)}: missing {', '.join(missing)}")
    if len(rest):
        raise RequestRefused(f"{len(rest)} bytes of the body belong to no input")
    parameters = _parameters(document)
    every = parameters.get("binary_data_output") is True
    return Inference(inputs, _wanted(document, every), every, str(document.get("id") or ""))


def write(inference: Inference, outputs: Arrays, model: str, version: str) -> tuple[bytes, int | None]:
    """The answer's body, and how many bytes of it are JSON where tensors follow. Raises RequestRefused for an output
    that the model has not."""
    wanted = inference.outputs if inference.outputs is not None else dict.fromkeys(outputs, inference.binary)
    entries, tail = [], []
    for name, binary in wanted.items():
        if name not in outputs:
            raise RequestRefused(f"unexpected inference output {name!r}; the model has {', '.join(outputs)}")
        array = outputs[name]
        word = "BYTES" if array.dtype.kind in "OU" else DATATYPES[array.dtype.name]
        entry: dict[str, Any] = {"name": name, "datatype": word, "shape": list(array.shape)}
        if binary:
            content = _bytes(array)
            entry["parameters"] = {"binary_data_size": len(content)}
            tail.append(content)
        else:
            entry["data"] = array.reshape(-1).tolist()
        entries.append(entry)
    document = {"model_name": model, "model_version": version, "outputs": entries}
    if inference.id:
        document["id"] = inference.id
    text = json.dumps(document, separators=(",", ":")).encode()
    return b"".join((text, *tail)), len(text) if tail else None


def metadata(
    model: str, versions: Sequence[str], platform: str, inputs: Sequence[Spec], outputs: Sequence[Spec]
) -> Any:
    """What the protocol tells of a model; a size that is open is -1."""

    def told(specs: Sequence[Spec]) -> list[Any]:
        return [
            {
                "name": spec.name,
                "datatype": DATATYPES[spec.dtype],
                "shape": [size if isinstance(size, int) else -1 for size in spec.shape],
            }
            for spec in specs
        ]

    return {
        "name": model,
        "versions": [*versions],
        "platform": platform,
        "inputs": told(inputs),
        "outputs": told(outputs),
    }


def _tensor(entry: Mapping[str, Any], spec: Spec, rest: memoryview) -> tuple[NDArray[Any], memoryview]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestRefused(f"input {spec.name!r} has no shape of whole numbers")
    count = 1
    for size in shape:
        count *= size
        if count > MOST_ELEMENTS:
            raise RequestRefused(f"input {spec.name!r} has more than {MOST_ELEMENTS} elements")
    word = DATATYPES[spec.dtype]
    if entry.get("datatype") != word:
        raise RequestRefused(
            f"inference input {spec.name!r} has datatype {entry.get('datatype')!r}; the model takes {word}"
        )
    size = _parameters(entry).get("binary_data_size")
    if size is None:
        array = to_array(_flat(entry.get("data")), spec._replace(shape=("elements",)))
    else:
        if type(size) is not int or not 0 <= size <= len(rest):
            raise RequestRefused(f"input {spec.name!r} says {size!r} bytes and {len(rest)} are left of the body")
        array, rest = _from_bytes(rest[:size], spec), rest[size:]
    if array.size != count:
        raise RequestRefused(f"input {spec.name!r} has {array.size} elements and the shape {shape}")
    return to_array(array.reshape(shape), spec), rest


def _flat(data: Any) -> Any:
    """Elements in order; the protocol lets them be nested."""
    if not isinstance(data, list):
        raise RequestRefused("an input without binary data needs `data`, a list")
    while any(isinstance(each, list) for each in data):
        if not all(isinstance(each, list) for each in data):
            raise RequestRefused("`data` mixes lists and values")
        data = [value for each in data for value in each]
    return data


def _from_bytes(content: memoryview, spec: Spec) -> NDArray[Any]:
    if spec.dtype == "str":
        return _strings(content, spec)
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    if len(content) % dtype.itemsize:
        raise RequestRefused(f"input {spec.name!r}: {len(content)} bytes are no whole number of {spec.dtype}")
    return np.frombuffer(content, dtype).astype(spec.dtype)


def _strings(content: memoryview, spec: Spec) -> NDArray[Any]:
    values, place = [], 0
    while place < len(content):
        stop = place + 4 + int.from_bytes(content[place : place + 4], "little")
        if stop > len(content):
            raise RequestRefused(f"input {spec.name!r}: a string is cut off")
        try:
            values.append(bytes(content[place + 4 : stop]).decode())
        except UnicodeDecodeError as error:
            raise RequestRefused(f"input {spec.name!r}: not UTF-8: {error}") from None
        place = stop
    return np.array(values, dtype=object)


def _bytes(array: NDArray[Any]) -> bytes:
    if array.dtype.kind in "OU":
        texts = [str(text).encode() for text in array.reshape(-1)]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _wanted(document: Mapping[str, Any], every: bool) -> dict[str, bool] | None:
    entries = document.get("outputs")
    if not entries:
        return None
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries
    ):
        raise RequestRefused('`outputs` must be a list of {"name": ...}')
    return {entry["name"]: bool(_parameters(entry).get("binary_data", every)) for entry in entries}


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    found = entry.get("parameters", {})
    if not isinstance(found, dict):
        raise RequestRefused("`parameters` must be an object")
    return found


def _takes(specs: Sequence[Spec]) -> str:
    return "; ".join(map(str, specs))
