"""safetensors: a JSON header and bytes. Read within bounds, by the rules of the format's own README."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import IO, Any

from cloudmodel.formats.model import Finding

MAX_HEADER = 100 << 20
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4,
}  # fmt: skip


class BrokenHeader(Exception):
    """A header that breaks a rule of the format."""


def header(file: IO[bytes]) -> dict[str, Any]:
    """Name to `{dtype, shape, data_offsets}`, without `__metadata__`. Raises BrokenHeader."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(MAX_HEADER, size - 8):
        raise BrokenHeader(f"a header of {length:,} bytes in a file of {size:,}")
    try:
        document = json.loads(file.read(length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BrokenHeader(f"its header is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BrokenHeader("its header is no object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BrokenHeader("__metadata__ holds something else than texts")
    end = 0
    for start, stop, name in sorted(_spans(document)):
        if start != end:
            raise BrokenHeader(f"{name!r} does not begin where the tensor before it ends")
        end = stop
    if end != size - 8 - length:
        raise BrokenHeader(f"its tensors take {end:,} bytes of {size - 8 - length:,}")
    return document


def scan(file: IO[bytes], where: str) -> list[Finding]:
    """Nothing in a safetensors file can run; only a header that lies is a finding."""
    try:
        header(file)
    except BrokenHeader as error:
        return [Finding(rule="unreadable", location=where, detail=str(error))]
    return []


def _spans(document: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    for name, tensor in document.items():
        try:
            start, stop = tensor["data_offsets"]
            bits = BITS[tensor["dtype"]] * math.prod(tensor["shape"])
            plain = all(type(each) is int and each >= 0 for each in (start, stop, *tensor["shape"]))
        except (KeyError, TypeError, ValueError):
            raise BrokenHeader(f"{name!r} is no tensor") from None
        if not plain or set(tensor) != {"data_offsets", "dtype", "shape"}:
            raise BrokenHeader(f"{name!r} is no tensor")
        if bits != (stop - start) * 8:
            raise BrokenHeader(f"{name!r} has {stop - start:,} bytes for {bits:,} bits")
        yield start, stop, name


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name that stands twice")
    return made
