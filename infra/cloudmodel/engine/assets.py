"""Assets and archives get their hash from the engine, when a resource is registered."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cloudmodel.core import files
from cloudmodel.core.resource import ARCHIVE, ASSET
from cloudmodel.engine.values import rewritten, signature


def hashed(value: Any, folder: Path) -> Any:
    """`value` with the sha256 of every asset and archive in it; relative paths start at `folder`.

    A file that cannot be read raises OSError; a form of asset that is not supported (a URI) raises ValueError.
    """

    def change(node: Any) -> Any:
        kind = signature(node)
        if kind == ASSET:
            return {**node, "hash": _asset_hash(node, folder)}
        if kind == ARCHIVE:
            return {**node, "hash": _archive_hash(node, folder)}
        return node

    return rewritten(value, change)


def _asset_hash(asset: dict[str, Any], folder: Path) -> str:
    if "text" in asset and not asset.get("path"):
        return hashlib.sha256(str(asset["text"]).encode()).hexdigest()
    if asset.get("path"):
        return files.sha256(folder / str(asset["path"]))
    raise ValueError("an asset must be a file or a text: the embedded engine fetches no URI")


def _archive_hash(archive: dict[str, Any], folder: Path) -> str:
    """The file's sha256 for an archive file; for a folder or a map, one over the names and hashes in it."""
    if archive.get("path"):
        path = folder / str(archive["path"])
        if path.is_file():
            return files.sha256(path)
        members = {str(item.relative_to(path)): files.sha256(item) for item in path.rglob("*") if item.is_file()}
        if not path.is_dir():
            raise FileNotFoundError(f"no such file or folder: {archive['path']}")
    elif "assets" in archive:
        members = {name: str(member["hash"]) for name, member in archive["assets"].items()}
    else:
        raise ValueError("an archive must be a file, a folder or a map of assets: the embedded engine fetches no URI")
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(f"{name}\0{members[name]}\0".encode())
    return digest.hexdigest()
