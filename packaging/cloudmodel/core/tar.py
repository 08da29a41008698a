"""A tar reader that trusts nothing: regular files and folders only, plain names only, within a budget.

Format: POSIX.1-2017 pax (ustar headers, `x` records for long names and sizes), GNU long names. tarfile's filters are
not enough here: depending on the patch release they rewrite names silently or have known ways around them.
"""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cloudmodel.core.errors import UnsafeModel

BLOCK = 512
MAX_HEADER_DATA = 1 << 16
MAX_NAME = 1024
MAX_PART = 255
FORBIDDEN_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


@dataclass(frozen=True)
class Budget:
    """What an archive may cost to open. `ratio` (unpacked to packed bytes) counts beyond `free` bytes only, because
    small models of constant weights are honest and compress well."""

    members: int = 10_000
    bytes: int = 64 << 30
    ratio: int = 100
    free: int = 256 << 20


@dataclass(frozen=True)
class Member:
    """One entry: a checked relative name with `/` between its parts, and its size in bytes (0 for a folder)."""

    name: str
    size: int
    folder: bool


class Source:
    """The unpacked stream of an archive, counted against the budget. `packed` is the archive's size in bytes."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, packed: int, budget: Budget, where: str) -> None:
        self._stream = stream
        self._limit = min(budget.bytes, max(budget.free, packed * budget.ratio))
        self._count = 0
        self.where = where

    def take(self, size: int) -> bytes:
        """At most `size` bytes; fewer only at the end of the stream. Raises UnsafeModel beyond the budget."""
        self.reserve(size)
        data = self._stream.read(size)
        self._count += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """`size` bytes. Raises UnsafeModel where the stream ends before."""
        data = self.take(size)
        if len(data) != size:
            raise self.refuse(f"the archive is cut short at byte {self._count} of its unpacked form")
        return data

    def reserve(self, size: int) -> None:
        """Refuse at once what would go over the budget."""
        if self._count + size > self._limit:
            raise self.refuse(f"the archive unpacks to more than the {self._limit:,} bytes that it may")

    def refuse(self, reason: str) -> UnsafeModel:
        """The error for a broken or hostile archive."""
        return UnsafeModel(f"Archive refused: {reason}", where=self.where, hint="get it again from where it was built")


def walk(source: Source, budget: Budget) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Each member with its content in pieces, which the caller takes up before the next member.

    Raises UnsafeModel for anything that is not a regular file or folder with a plain, new name, for more than the
    budget allows, and for a broken archive. What follows the end mark is read (so that gzip's checksum is verified)
    and must be zeros.
    """
    seen = _Names(source)
    long_name: str | None = None
    long_size: int | None = None
    count = 0
    while any(header := source.exactly(BLOCK)):
        _verify_checksum(header, source)
        kind = header[156:157]
        size = _number(header[124:136], source)
        count += 1
        if count > budget.members:
            raise source.refuse(f"it has more than {budget.members:,} members")
        if kind in (b"x", b"g", b"L"):
            record = _header_data(source, size)
            if kind == b"L":
                long_name = _text(record.rstrip(b"\0"), source)
                continue
            fields = _pax(record, source)
            if kind == b"g" and ("path" in fields or "size" in fields):
                raise source.refuse("a global header renames its members")
            if kind == b"x":
                long_name = fields.get("path", long_name)
                long_size = _decimal(fields["size"], source) if "size" in fields else None
            continue
        name = long_name if long_name is not None else _header_name(header, source)
        size = long_size if long_size is not None else size
        long_name = long_size = None
        if kind not in (b"0", b"\0", b"5"):
            raise source.refuse(f"{name!r} is {FORBIDDEN_TYPES.get(kind, 'not a regular file')}")
        folder = kind == b"5" or name.endswith("/")
        if folder and size:
            raise source.refuse(f"folder {name!r} has content")
        member = Member(seen.add(name, folder), size, folder)
        source.reserve(size)
        content = _content(source, size)
        yield member, content
        for _ in content:
            pass
    while tail := source.take(1 << 16):
        if any(tail):
            raise source.refuse("there is data after its end")


class _Names:
    """The names met so far; refuses what could escape, hide or overwrite."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kinds: dict[str, tuple[str, bool]] = {}

    def add(self, name: str, folder: bool) -> str:
        """The plain form of `name`; the archive's root folder is `.`."""
        plain = name.rstrip("/") if folder else name
        while plain.startswith("./"):
            plain = plain[2:].lstrip("/") if folder else plain[2:]
        if folder and plain in (".", ""):
            if name.startswith("/"):
                raise self._source.refuse(f"{name!r} is an absolute name")
            return "."
        reason = why_unsafe(plain)
        if reason:
            raise self._source.refuse(f"{name!r} {reason}")
        parts = plain.split("/")
        for end in range(1, len(parts)):
            self._note("/".join(parts[:end]), folder=True, whole=name, implied=True)
        self._note(plain, folder=folder, whole=name, implied=False)
        return plain

    def _note(self, plain: str, *, folder: bool, whole: str, implied: bool) -> None:
        key = unicodedata.normalize("NFC", plain).casefold()
        if key not in self._kinds:
            self._kinds[key] = (plain, folder)
            return
        other, was_folder = self._kinds[key]
        if other != plain:
            raise self._source.refuse(f"{whole!r} collides with {other!r} where case does not count")
        if not (folder and was_folder):
            how = "is a file and a folder" if folder or was_folder else "is there twice"
            raise self._source.refuse(f"{plain!r} {how}")


def why_unsafe(name: str) -> str | None:
    """Why `name` may not be the name of a file inside a folder that we write, or None."""
    if not name:
        return "is empty"
    if name.startswith("/"):
        return "is an absolute name"
    if "\\" in name or any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        return "has a backslash or a control character"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        return f"is longer than {MAX_NAME} bytes"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return "has an empty, '.' or '..' part"
        if len(part.encode("utf-8", "surrogatepass")) > MAX_PART:
            return f"has a part longer than {MAX_PART} bytes"
    return None


def _content(source: Source, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = source.exactly(min(left, 1 << 20))
        left -= len(piece)
        yield piece
    source.exactly(-size % BLOCK)


def _header_data(source: Source, size: int) -> bytes:
    if size > MAX_HEADER_DATA:
        raise source.refuse(f"a header of {size:,} bytes")
    data = source.exactly(size)
    source.exactly(-size % BLOCK)
    return data


def _verify_checksum(header: bytes, source: Source) -> None:
    stored = _number(header[148:156], source)
    if stored != sum(header) - sum(header[148:156]) + 8 * 32:
        raise source.refuse("a header's checksum is wrong")


def _number(field: bytes, source: Source) -> int:
    """Octal digits, or GNU's base 256 where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise source.refuse("a header's number is not one")
    return int(digits or b"0", 8)


def _decimal(text: str, source: Source) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise source.refuse(f"a size of {text!r}")
    return int(text)


def _text(data: bytes, source: Source) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise source.refuse(f"a name that is not UTF-8: {data!r}") from None


def _header_name(header: bytes, source: Source) -> str:
    name = _text(header[:100].split(b"\0")[0], source)
    if header[257:263] == b"ustar\0":
        prefix = _text(header[345:500].split(b"\0")[0], source)
        if prefix:
            return f"{prefix}/{name}"
    return name


def _pax(record: bytes, source: Source) -> dict[str, str]:
    """`LENGTH KEY=VALUE\\n` records; those for sparse files are refused, other unknown ones do not matter here."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(record):
        space = record.find(b" ", at, at + 8)
        length = record[at:space] if space > 0 else b""
        if not length.isdigit() or not 5 <= int(length) <= len(record) - at:
            raise source.refuse("an extended header is broken")
        key, equals, value = record[space + 1 : at + int(length)].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise source.refuse("an extended header is broken")
        if key.startswith(b"GNU.sparse"):
            raise source.refuse("a sparse file")
        if key in (b"path", b"size"):
            fields[key.decode()] = _text(value[:-1], source)
        at += int(length)
    return fields
