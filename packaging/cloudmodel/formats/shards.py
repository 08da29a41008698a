"""Weights in several safetensors files, with the index that says which tensor lies in which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import ModelUnreadable, ProjectInvalid, UnsafeModel

ENDING = ".safetensors.index.json"
LONGEST = 64 << 20
"""Bytes of an index; one with 100,000 tensors has 10 MB."""


def index_of(path: Path) -> Path | None:
    """The index that `path` names: itself, or the only one in the folder; None where it names none. Raises
    ProjectInvalid for a folder with several."""
    if not path.is_dir():
        return path if path.name.endswith(ENDING) else None
    found = sorted(path.glob(f"*{ENDING}"))
    if len(found) > 1:
        raise ProjectInvalid(
            f"The folder has several indexes: {', '.join(each.name for each in found[:3])}",
            where=str(path),
            hint="name one of them as model.weights",
        )
    return found[0] if found else None


def read(index: Path) -> Mapping[Path, frozenset[str]]:
    """The files that an index names, in order, with the tensors that each of them holds.

    Every file lies beside the index and is a plain one. Raises ModelUnreadable for an index that is none, or a file
    that is missing; UnsafeModel for a name that leads elsewhere.
    """
    try:
        if index.stat().st_size > LONGEST:
            raise ValueError(f"it has more than {LONGEST >> 20} MB")
        tensors = json.loads(index.read_bytes(), object_pairs_hook=_once)["weight_map"]
        if not tensors or not all(isinstance(name, str) for name in tensors.values()):
            raise ValueError("weight_map does not say in which file each tensor lies")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = "it has no weight_map" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise ModelUnreadable(
            f"The index of the shards cannot be read: {reason}", where=str(index), hint="copy the whole folder again"
        ) from None
    return {_beside(index, name): frozenset(t for t, at in tensors.items() if at == name)
            for name in sorted(set(tensors.values()))}  # fmt: skip


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands in it twice")
    return document


def _beside(index: Path, name: str) -> Path:
    path = index.parent / name
    if Path(name).name != name or "\0" in name or path.is_symlink():
        raise UnsafeModel(
            f"The index names {name[:100]!r}, which is no file in its own folder",
            where=str(index),
            hint="put the file itself into the folder",
        )
    if not path.is_file():
        raise ModelUnreadable(
            f"The index names {name[:100]!r}, which is not there",
            where=str(index),
            hint="copy every shard that the index names",
        )
    return path
