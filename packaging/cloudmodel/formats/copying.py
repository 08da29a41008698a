"""Copies of a model's files: what was scanned is what is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import UnsafeModel


def copy_file(
    source: Path, target: Path, digests: Digests | None = None, look: Callable[[bytes], None] | None = None
) -> None:
    """Copy one file, folders made as needed, and hash it on the way for `digests`; `look` sees each piece, in order,
    and may raise. Raises UnsafeModel for a link or a file that cannot be read, OSError."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise UnsafeModel(f"Cannot copy the model: {error.strerror}", where=str(source)) from None
    hashing = hashlib.sha256()
    with os.fdopen(descriptor, "rb") as reader, files.replacing(target) as writer:
        while piece := reader.read(files.CHUNK):
            hashing.update(piece)
            writer.write(piece)
            if look is not None:
                look(piece)
    if digests is not None:
        digests.add(target, hashing.hexdigest())
