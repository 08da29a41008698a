"""Copies of a model's files: what was scanned is what is loaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.core.errors import UnsafeModel


def copy_file(source: Path, target: Path) -> None:
    """Copy one file, folders made as needed. Raises UnsafeModel for a link or a file that cannot be read, OSError."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise UnsafeModel(f"Cannot copy the model: {error.strerror}", where=str(source)) from None
    with os.fdopen(descriptor, "rb") as reader, files.replacing(target) as writer:
        shutil.copyfileobj(reader, writer, files.CHUNK)
