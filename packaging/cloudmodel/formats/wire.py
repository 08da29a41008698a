"""Protocol buffers' wire format, read within bounds: nothing is copied and nothing is allocated by a declared size.

Source: protobuf.dev/programming-guides/encoding. Groups, which ONNX never uses, are refused.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Buffer = bytes | mmap.mmap

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class Broken(Exception):
    """Bytes that do not follow the wire format. `offset` is where; `short` is how many bytes are missing, 0 where
    it is not for want of bytes."""

    def __init__(self, offset: int, reason: str, short: int = 0) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason
        self.short = short


class Field(NamedTuple):
    """One field: its number and wire type, its value (a varint's, else 0), and where its content starts and ends."""

    number: int
    wire: int
    value: int
    start: int
    stop: int


@dataclass
class Allowance:
    """How many fields a walk may still visit."""

    left: int

    def spend(self, offset: int) -> None:
        """Count one field. Raises Broken when none is left."""
        self.left -= 1
        if self.left < 0:
            raise Broken(offset, "the header has more fields than any model that is known")


def varint(buffer: Buffer, at: int, stop: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits and the offset behind it. Raises Broken."""
    value = shift = 0
    for place in range(at, min(at + MAX_VARINT_BYTES, stop)):
        byte = buffer[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place + 1
        shift += 7
    if at + MAX_VARINT_BYTES <= stop:
        raise Broken(at, "a number that does not end")
    raise Broken(at, "ends inside a number", short=1)


def signed(value: int) -> int:
    """A varint as int64."""
    return value - (1 << 64) if value >= 1 << 63 else value


def fields(buffer: Buffer, start: int, stop: int, allowance: Allowance) -> Iterator[Field]:
    """The fields of the message in `buffer[start:stop]`. Raises Broken."""
    at = start
    while at < stop:
        begin = at
        allowance.spend(begin)
        key, at = varint(buffer, at, stop)
        number, wire = key >> 3, key & 7
        if number == 0 or number > 0x1FFFFFFF:
            raise Broken(begin, f"a field of number {number}")
        if wire == VARINT:
            value, end = varint(buffer, at, stop)
            yield Field(number, wire, value, at, end)
        elif wire == BYTES:
            length, at = varint(buffer, at, stop)
            end = at + length
            _within(begin, end, stop)
            yield Field(number, wire, 0, at, end)
        elif wire in (FIXED32, FIXED64):
            end = at + (4 if wire == FIXED32 else 8)
            _within(begin, end, stop)
            yield Field(number, wire, 0, at, end)
        else:
            raise Broken(begin, f"wire type {wire}, which no model has")
        at = end


def _within(begin: int, end: int, stop: int) -> None:
    if end > stop:
        raise Broken(begin, f"promises {end - stop:,} bytes more than there are", short=end - stop)
