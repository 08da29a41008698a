"""The digests of files that were read once."""

from __future__ import annotations

from pathlib import Path

from cloudmodel.core import files


class Digests:
    """A file is known by its inode, its size and the time of its last write: under another name it is the same, and one
    that was written since is hashed again. That holds for files which nobody else can reach; whoever is handed one
    later holds it against its digest (`archive.verify`)."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def add(self, path: Path, sha256: str) -> None:
        """The file at `path` has this hex sha256, as who has just written it knows."""
        self._known[_identity(path)] = sha256

    def known(self, path: Path) -> str | None:
        """The hex sha256 of a file that was read and not written since. Raises OSError."""
        return self._known.get(_identity(path))

    def sha256(self, path: Path) -> str:
        """The hex sha256 of a file, which is read where it is not known. Raises OSError."""
        if (found := self.known(path)) is None:
            found = files.sha256(path)
            self.add(path, found)
        return found


def _identity(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
