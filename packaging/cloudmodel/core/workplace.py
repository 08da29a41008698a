"""Folders in which something is made, beside what it will be: gone in the end, and gone at the next start where their
owner was killed.

Each is locked by its owner (`flock` of the folder itself, which the kernel lets go when the process ends). A file
system that has no such locks says so, and nothing is swept there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def folder(root: Path, prefix: str) -> Iterator[Path]:
    """An empty folder in `root`, which must exist; those of `prefix` there whose owner is gone are deleted. Raises
    OSError."""
    sweep(root, prefix)
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        with _locked(path, fcntl.LOCK_SH) as own:
            if not own or not path.exists():  # one who sweeps was between the two lines above
                continue
            try:
                yield path
            finally:
                shutil.rmtree(path)
        return


def sweep(root: Path, prefix: str) -> None:
    """Delete the folders of `prefix` in `root` that nobody holds; what may not be deleted stays."""
    for path in root.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            if alone:
                shutil.rmtree(path)


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[bool]:
    """Whether the folder could be locked; it is until the block ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, how)
        except OSError:
            held = not how & fcntl.LOCK_NB  # no locks here: it is still the owner's folder
        else:
            held = True
        yield held
    finally:
        os.close(descriptor)
