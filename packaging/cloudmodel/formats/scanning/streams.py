"""Bytes as they come out of archives, a piece at a time, never more in memory than was asked for."""

from __future__ import annotations

import bz2
import io
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

from cloudmodel.formats.scanning.budget import Budget

PIECE = 1 << 20
LZMA_MEMORY = 128 << 20
SPOOLED = 8 << 20


class BrokenArchive(Exception):
    """Bytes that do not follow the archive's format."""


class Pieces(io.RawIOBase):
    """An iterator of bytes as a file to read from; short reads only at the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            if not self._rest:
                self._rest = next(self._pieces, b"")
                if not self._rest:
                    break
            count = min(len(self._rest), len(view) - done)
            view[done : done + count] = self._rest[:count]
            self._rest = self._rest[count:]
            done += count
        return done


def buffered(pieces: Iterator[bytes]) -> io.BufferedReader:
    """The pieces as a file with `peek` and `readline`."""
    return io.BufferedReader(Pieces(pieces), buffer_size=PIECE)


def spooled(stream: IO[bytes], budget: Budget) -> IO[bytes]:
    """A copy of `stream` that can be sought in: in memory while it is small, else in a temporary file."""
    copy: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOLED)  # noqa: SIM115  (the caller closes it)
    try:
        while piece := stream.read(PIECE):
            budget.unpack(len(piece))
            copy.write(piece)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


class Decompressor(Protocol):
    """What bz2 and lzma offer, and `Inflate` below."""

    @property
    def eof(self) -> bool:
        """Whether its end mark was met."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond its end mark."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Feed `data`; get at most `max_length` bytes."""
        ...


class Inflate:
    """zlib with the interface of bz2 and lzma. `window` as zlib's `wbits`: 31 gzip, 15 zlib, -15 raw."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        """Whether its end mark was met."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond its end mark."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Feed `data`; get at most `max_length` bytes."""
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(0, max_length))


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    "gzip": lambda: Inflate(31),
    "zlib": lambda: Inflate(15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=LZMA_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY),
}
MULTIPLE = ("gzip", "bzip2", "xz")
"""Those whose files may be several streams, one behind the other."""


def unpacked(stream: IO[bytes], kind: str, budget: Budget) -> Iterator[bytes]:
    """What a compressed file holds. Raises BrokenArchive for a broken or cut one and for bytes behind it, Exhausted."""
    make = DECOMPRESSORS[kind]
    machine = make()
    data = b""
    try:
        while True:
            piece = machine.decompress(data, PIECE)
            data = b""
            budget.unpack(len(piece))
            if piece:
                yield piece
            if machine.eof:
                data = machine.unused_data or stream.read(PIECE)
                if not data.strip(b"\0"):
                    data = _rest_is_empty(stream)
                if not data:
                    return
                if kind not in MULTIPLE:
                    raise BrokenArchive("there is data behind the end of the compressed data")
                machine = make()
            elif not piece:
                data = stream.read(PIECE)
                if not data:
                    raise BrokenArchive("the compressed data is cut short")
    except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise BrokenArchive(f"the compressed data is broken: {error}") from None


def _rest_is_empty(stream: IO[bytes]) -> bytes:
    """Read on over zeros; the first piece that is none, if any."""
    while piece := stream.read(PIECE):
        if piece.strip(b"\0"):
            return piece
    return b""


def inflated(data: Iterator[bytes], method: int, budget: Budget) -> Iterator[bytes]:
    """A zip member's content from its raw bytes, whatever its checksum says. Raises BrokenArchive, Exhausted."""
    makers: dict[int, Callable[[], Decompressor]] = {8: lambda: Inflate(-15), 12: bz2.BZ2Decompressor}
    if method == 0:
        for piece in data:
            budget.unpack(len(piece))
            yield piece
        return
    if method not in makers:
        raise BrokenArchive(f"a zip member in compression method {method}, which is not read here")
    machine = makers[method]()
    try:
        for raw in data:
            feed = raw
            while not machine.eof:
                piece = machine.decompress(feed, PIECE)
                feed = b""
                budget.unpack(len(piece))
                if not piece:
                    break
                yield piece
    except (zlib.error, EOFError, OSError, ValueError) as error:
        raise BrokenArchive(f"a zip member is broken: {error}") from None
