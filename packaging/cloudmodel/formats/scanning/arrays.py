"""numpy's `.npy`: a bounded header, then numbers, or a pickle where the array holds objects.

Format: numpy's lib/format.py.
"""

from __future__ import annotations

import ast
import io
import math
from typing import Any

from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning.streams import PIECE

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1 << 16


class Npy:
    """The header of a `.npy` at the beginning of `stream`, which is left behind it. Raises ValueError."""

    def __init__(self, stream: io.BufferedReader) -> None:
        start = stream.read(8)
        if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
            raise ValueError("not a numpy array of a version that is known")
        width = 2 if start[6] == 1 else 4
        length = int.from_bytes(stream.read(width), "little")
        if length > MAX_HEADER:
            raise ValueError(f"a header of {length:,} bytes")
        text = stream.read(length)
        if len(text) != length:
            raise ValueError("it ends inside its header")
        try:
            header: Any = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1"))
            self.descr, self.shape = header["descr"], tuple(header["shape"])
        except (SyntaxError, KeyError, TypeError, UnicodeDecodeError, MemoryError, RecursionError) as error:
            raise ValueError(f"its header makes no sense: {error}") from None
        if not all(type(each) is int and each >= 0 for each in self.shape):
            raise ValueError("a shape that makes no sense")

    @property
    def objects(self) -> bool:
        """Whether the elements are Python objects, which are pickled."""
        return "O" in repr(self.descr)

    @property
    def size(self) -> int | None:
        """Bytes of the elements; None for a structure."""
        descr = self.descr
        if not isinstance(descr, str) or not descr[2:].partition("[")[0].isdigit():
            return None
        width = int(descr[2:].partition("[")[0]) * (4 if descr[1] == "U" else 1)
        return int(math.prod(self.shape) * width)


def numbers(stream: io.BufferedReader, array: Npy, where: str) -> list[Finding]:
    """Whether there are as many bytes as the header says."""
    found = 0
    while piece := stream.read(PIECE):
        found += len(piece)
    if array.size is not None and found != array.size:
        detail = f"an array of {array.size:,} bytes with {found:,}"
        return [Finding(rule="unreadable", location=where, detail=detail)]
    return []
