"""A zip's members, read by the central directory as loaders do; a checksum is no reason to look away.

Format: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5 (zip64). Nothing is allocated by a declared size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from cloudmodel.formats.scanning.budget import ARCHIVE, Exhausted
from cloudmodel.formats.scanning.streams import PIECE, BrokenArchive

END = b"PK\x05\x06"
END64 = b"PK\x06\x06"
LOCATOR64 = b"PK\x06\x07"
ENTRY = b"PK\x01\x02"
LOCAL = b"PK\x03\x04"
TAIL = 22 + 65535
MAX_DIRECTORY = 64 << 20
ENCRYPTED = 0x2041  # traditional, strong, masked headers
LINK = 0o120000


@dataclass(frozen=True)
class Member:
    """One entry of the central directory."""

    name: str
    method: int
    flags: int
    packed: int
    unpacked: int
    offset: int
    mode: int

    @property
    def folder(self) -> bool:
        """Whether it is a folder, which holds nothing."""
        return self.name.endswith("/")

    @property
    def encrypted(self) -> bool:
        """Whether its content cannot be read without a password."""
        return bool(self.flags & ENCRYPTED)

    @property
    def link(self) -> bool:
        """Whether it unpacks to a symbolic link."""
        return self.mode & 0o170000 == LINK


def members(file: IO[bytes]) -> list[Member]:
    """What the central directory lists. Raises BrokenArchive for one that makes no sense, Exhausted."""
    size = file.seek(0, 2)
    start = max(0, size - TAIL)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < 22:
        raise BrokenArchive("a zip without its directory, which comes last: it is cut short")
    count, length, offset = struct.unpack_from("<H2I", tail, at + 10)
    if struct.unpack_from("<H", tail, at + 20)[0] != len(tail) - at - 22:
        raise BrokenArchive("there is data behind the end of the zip")
    directory_end = start + at
    short = count, length, offset
    file.seek(max(0, directory_end - 20))
    if file.read(4) == LOCATOR64:  # torch always writes one; readers differ in whom they believe, so both must agree
        count, length, offset, directory_end = _zip64(file, directory_end)
    limits = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    pairs = zip(short, limits, (count, length, offset), strict=True)
    if not all(value in (wide, limit) for value, limit, wide in pairs):
        raise BrokenArchive("the zip has two directories")
    if offset + length != directory_end:
        raise BrokenArchive("the zip does not begin where its directory says")
    if count > ARCHIVE.members or length > MAX_DIRECTORY:
        raise Exhausted(f"it holds more than {ARCHIVE.members:,} files")
    file.seek(offset)
    return list(_entries(file.read(length), count))


def content(file: IO[bytes], member: Member) -> Iterator[bytes]:
    """A member's packed bytes. Raises BrokenArchive where its own header tells of another file."""
    file.seek(member.offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != LOCAL:
        raise BrokenArchive(f"{member.name!r} does not begin where the directory says")
    flags, method = struct.unpack_from("<2H", header, 6)
    name_length, extra_length = struct.unpack_from("<2H", header, 26)
    name = file.read(name_length)
    if _decoded(name, flags) != member.name or method != member.method or flags & 1 != member.flags & 1:
        raise BrokenArchive(f"{member.name!r} is called {name!r} in its own header, or packed otherwise")
    file.seek(extra_length, 1)
    left = member.packed
    while left:
        piece = file.read(min(left, PIECE))
        if not piece:
            raise BrokenArchive(f"{member.name!r} is cut short")
        left -= len(piece)
        yield piece


def _zip64(file: IO[bytes], end: int) -> tuple[int, int, int, int]:
    file.seek(end - 20)
    locator = file.read(20)
    at = struct.unpack_from("<Q", locator, 8)[0]
    if at + 56 > end:
        raise BrokenArchive("a zip64 without its directory")
    file.seek(at)
    record = file.read(56)
    if record[:4] != END64:
        raise BrokenArchive("a zip64 without its directory")
    count, length, offset = struct.unpack_from("<3Q", record, 32)
    if at + 56 + 20 != end:
        raise BrokenArchive("there is something between the zip64's directory and its end")
    return count, length, offset, at


def _entries(directory: bytes, count: int) -> Iterator[Member]:
    at = 0
    for _ in range(count):
        if directory[at : at + 4] != ENTRY or len(directory) - at < 46:
            raise BrokenArchive("the zip's directory is broken")
        flags, method = struct.unpack_from("<2H", directory, at + 8)
        packed, unpacked = struct.unpack_from("<2I", directory, at + 20)
        lengths = struct.unpack_from("<3H", directory, at + 28)
        attributes, offset = struct.unpack_from("<2I", directory, at + 38)
        name_end = at + 46 + lengths[0]
        extra = directory[name_end : name_end + lengths[1]]
        wide = _wide(extra, [unpacked, packed, offset])
        name = _decoded(directory[at + 46 : name_end], flags)
        yield Member(name, method, flags, wide[1], wide[0], wide[2], attributes >> 16)
        at = name_end + lengths[1] + lengths[2]
    if at != len(directory):
        raise BrokenArchive("the zip's directory lists more than it says")


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """The zip64 forms of sizes and offset, which stand in this order where the short form is all ones."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            field = extra[at + 4 : at + 4 + size]
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    if len(field) < 8:
                        raise BrokenArchive("a zip64 field is missing")
                    values[index] = struct.unpack_from("<Q", field)[0]
                    field = field[8:]
        at += 4 + size
    return values


def _decoded(name: bytes, flags: int) -> str:
    return name.decode("utf-8", "surrogateescape") if flags & 0x800 else name.decode("cp437")
