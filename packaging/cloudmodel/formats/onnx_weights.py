"""Weights that are no numbers, found without loading the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import ModelUnreadable
from cloudmodel.formats.onnx_header import RAW, Header, TensorInfo
from cloudmodel.formats.wire import Buffer, varint

FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 1, 10, 11, 16
DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    FLOAT16: np.dtype("<f2"),
    DOUBLE: np.dtype("<f8"),
    BFLOAT16: np.dtype("<u2"),
}
PIECE = 1 << 20


def check_finite(buffer: Buffer, header: Header, path: Path) -> None:
    """Raises ModelUnreadable naming the first tensor with a NaN, or with an infinity among ordinary weights.

    Infinity is an honest constant (the mask of an attention layer), so a tensor whose finite values are all equal
    may hold it; among values that differ it is a weight that diverged.
    """
    for tensor in header.tensors:
        if tensor.data_type not in DTYPES:
            continue
        low, high = np.inf, -np.inf
        infinite: int | None = None
        done = 0
        for piece in _pieces(buffer, tensor, path.parent):
            if piece.size == 0:
                continue
            if np.isnan(piece).any():
                raise _refuse(tensor, "NaN", done + int(np.isnan(piece).argmax()), path)
            finite = np.isfinite(piece)
            if not finite.all() and infinite is None:
                infinite = done + int(finite.argmin())
            if finite.any():
                values = piece[finite] if infinite is not None else piece
                low, high = min(low, float(values.min())), max(high, float(values.max()))
            if infinite is not None and low < high:
                raise _refuse(tensor, "infinity", infinite, path)
            done += piece.size


def _refuse(tensor: TensorInfo, what: str, index: int, path: Path) -> ModelUnreadable:
    return ModelUnreadable(
        f"Weight {tensor.title!r} holds {what} (element {index}); no answer of this model can be right",
        where=str(path),
        hint="train or export it again; look for a diverged loss",
        details={"tensor": tensor.title, "element": index},
    )


def _pieces(buffer: Buffer, tensor: TensorInfo, folder: Path) -> Iterator[NDArray[Any]]:
    """The tensor's values in pieces of at most 8 MiB."""
    dtype = DTYPES[tensor.data_type]
    if "location" in tensor.external:
        with (folder / tensor.external["location"]).open("rb") as file:  # mapped, all of it would count as our memory
            file.seek(int(tensor.external.get("offset", "0")))
            left = int(tensor.external.get("length") or tensor.byte_size or 0)
            while piece := file.read(min(left, PIECE * dtype.itemsize)):
                left -= len(piece)
                yield _decode(np.frombuffer(piece[: len(piece) // dtype.itemsize * dtype.itemsize], dtype), dtype)
        return
    for segment in tensor.segments:
        if segment.kind == RAW:
            yield from _floats(buffer, dtype, segment.start, segment.stop)
        elif segment.kind in ("float", "double"):
            kind = np.dtype("<f4") if segment.kind == "float" else np.dtype("<f8")
            yield from _floats(buffer, kind, segment.start, segment.stop)
        elif segment.kind == "int32" and tensor.data_type in (FLOAT16, BFLOAT16):
            yield _decode(np.array(list(_varints(buffer, segment.start, segment.stop)), "<u2"), dtype)


def _floats(buffer: Buffer, dtype: np.dtype[Any], start: int, stop: int) -> Iterator[NDArray[Any]]:
    step = PIECE * dtype.itemsize
    for at in range(start, stop - dtype.itemsize + 1, step):
        count = min(step, stop - at) // dtype.itemsize
        # A copy: an array that looked into the mapping would keep it from being closed.
        yield _decode(np.frombuffer(buffer[at : at + count * dtype.itemsize], dtype), dtype)


def _varints(buffer: Buffer, at: int, stop: int) -> Iterator[int]:
    while at < stop:
        value, at = varint(buffer, at, stop)
        yield value & 0xFFFF


def _decode(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """bfloat16 is the upper half of a float32."""
    if dtype.kind == "u":
        return (values.astype("<u4") << 16).view("<f4")
    return values.view(dtype) if values.dtype.kind == "u" else values
