"""Where a training run stands, in a file: read without running code from it, replaced whole or not at all."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cloudmodel.core import files

VERSION = 1


@dataclass
class Checkpoint:
    """The end of an epoch. `identity` is the digest of everything that decides the run; `losses` and `scores` have an
    entry an epoch, `scores` one more for the state before the first."""

    identity: str
    epoch: int
    losses: list[float]
    scores: list[float]
    best_epoch: int
    best: Mapping[str, Any]
    modules: Mapping[str, Any]
    optimizer: Mapping[str, Any]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path` by this checkpoint."""
    buffer = io.BytesIO()
    torch.save({"version": VERSION, **vars(checkpoint)}, buffer)
    files.write_bytes(path, buffer.getvalue(), mode=0o600)


def read(path: Path, identity: str) -> Checkpoint | None:
    """The checkpoint of the very same run, or None: no file, one of another run or version, or one that cannot be
    read. A run without its checkpoint begins again and ends the same."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    if not isinstance(content, dict) or content.pop("version", None) != VERSION:
        return None
    try:
        found = Checkpoint(**content)
    except TypeError:
        return None
    return found if found.identity == identity else None
