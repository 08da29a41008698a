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
TYPED: dict[str, np.dtype[Any]] = {"float": np.dtype("<f4"), "double": np.dtype("<f8")}
"""What the fields of a tensor hold that are no raw bytes."""
PIECE = 1 << 20


def check_finite(buffer: Buffer, header: Header, path: Path) -> None:
    """Raises ModelUnreadable naming the first tensor with a NaN, or with an infinity among ordinary weights.

    Infinity is an honest constant (the mask of an attention layer), so a tensor whose finite values are all equal
    may hold it; among values that differ it is a weight that diverged.
    """
    for tensor in header.tensors:
        if tensor.data_type in DTYPES:
            seen = _Values(tensor, path)
            for piece in _pieces(buffer, tensor, path.parent):
                seen.see(piece)


class Passing:
    """The weights of one file, looked at as its bytes go by: the model's own, or the one that it names `location`.
    Raises what `check_finite` raises."""

    def __init__(self, header: Header, path: Path, location: str | None) -> None:
        self._at = 0
        self._spans = [
            _Span(start, stop, dtype, values)
            for tensor in header.tensors
            if tensor.data_type in DTYPES and tensor.external.get("location") == location
            for values in (_Values(tensor, path),)
            for start, stop, dtype in _spans(tensor)
        ]
        self._spans.sort(key=lambda span: span.start)

    def __call__(self, piece: bytes) -> None:
        """The next bytes of the file."""
        at, self._at = self._at, self._at + len(piece)
        for span in self._spans:
            if span.start >= self._at:
                break
            span.see(piece, at)
        self._spans = [span for span in self._spans if span.stop > self._at]


def passes(header: Header) -> bool:
    """Whether `Passing` sees all weights: not those of 16 bits that are written as integers of any length."""
    return all(
        segment.kind != "int32" or tensor.data_type not in (FLOAT16, BFLOAT16)
        for tensor in header.tensors
        for segment in tensor.segments
    )


class _Span:
    """A part of a file with numbers of one tensor; what a piece cuts in two waits for the next."""

    def __init__(self, start: int, stop: int, dtype: np.dtype[Any], values: _Values) -> None:
        self.start, self.stop = start, stop
        self._dtype = dtype
        self._values = values
        self._rest = b""

    def see(self, piece: bytes, at: int) -> None:
        held = self._rest + piece[max(self.start - at, 0) : self.stop - at]
        whole = len(held) // self._dtype.itemsize * self._dtype.itemsize
        self._rest = held[whole:]
        self._values.see(_decode(np.frombuffer(held[:whole], self._dtype), self._dtype))


def _spans(tensor: TensorInfo) -> Iterator[tuple[int, int, np.dtype[Any]]]:
    dtype = DTYPES[tensor.data_type]
    if "location" in tensor.external:
        start, length = tensor.external.get("offset", "0"), tensor.external.get("length") or str(tensor.byte_size or 0)
        if start.isdigit() and length.isdigit():  # else the scan of the copy refuses it
            yield int(start), int(start) + int(length), dtype
        return
    for segment in tensor.segments:
        if segment.kind == RAW:
            yield segment.start, segment.stop, dtype
        elif segment.kind in TYPED:
            yield segment.start, segment.stop, TYPED[segment.kind]


class _Values:
    """The values of one tensor, piece by piece. Raises ModelUnreadable where they cannot be weights."""

    def __init__(self, tensor: TensorInfo, path: Path) -> None:
        self._tensor, self._path = tensor, path
        self._low, self._high = np.inf, -np.inf
        self._infinite: int | None = None
        self._done = 0

    def see(self, piece: NDArray[Any]) -> None:
        if piece.size == 0:
            return
        if np.isnan(piece).any():
            raise _refuse(self._tensor, "NaN", self._done + int(np.isnan(piece).argmax()), self._path)
        finite = np.isfinite(piece)
        if not finite.all() and self._infinite is None:
            self._infinite = self._done + int(finite.argmin())
        if finite.any():
            values = piece[finite] if self._infinite is not None else piece
            self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        if self._infinite is not None and self._low < self._high:
            raise _refuse(self._tensor, "infinity", self._infinite, self._path)
        self._done += piece.size


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
        elif segment.kind in TYPED:
            yield from _floats(buffer, TYPED[segment.kind], segment.start, segment.stop)
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
