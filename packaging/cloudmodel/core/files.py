"""Files change whole or not at all: every write of the project goes through here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

CHUNK = 1 << 20
PRIVATE = ".cloudmodel"
"""The folder in a project that is cloudmodel's own: bundles, caches, local stacks. The user writes nothing there."""


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends without an exception.

    The bytes are flushed to the disk before the rename and the folder after it, so that a crash at any moment
    leaves the old file or the new one. Raises OSError; `path` is then unchanged and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def moved(source: Path, target: Path, *, mode: int = 0o444) -> bool:
    """Whether `source` could be renamed to `target`, whole and durable; false where that is on another disk, and
    nothing has happened then. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_dev != target.parent.stat().st_dev:
        return False
    with source.open("rb") as file:
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    source.replace(target)
    sync_folder(target.parent)
    return True


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` to `path` atomically; see `replacing`."""
    with replacing(path, mode=mode) as file:
        file.write(content)


def write_text(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Write `content` as UTF-8 to `path` atomically; see `replacing`."""
    write_bytes(path, content.encode(), mode=mode)


def sync_folder(folder: Path) -> None:
    """Make renames, creations and removals inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> Path:
    """Make `path` and what is missing above it, and allow it to its owner only; returns `path`."""
    for folder in reversed([each for each in path.parents if not each.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def sha256(path: Path) -> str:
    """The hex sha256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
