"""From a folder that holds a model and its serving code to a bundle: manifest, archive, store."""

from __future__ import annotations

import platform
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cloudmodel.bundle.manifest import Manifest
from cloudmodel.bundle.store import BundleStore
from cloudmodel.core.digests import Digests
from cloudmodel.core.progress import Report, silent

PACKAGES = ("cloudmodel", "numpy", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Packaged:
    """A bundle that is in a store: its digest (`sha256:<hex>`), the local path of its archive (of its folder, if it is
    large) and its size in bytes."""

    digest: str
    archive: Path
    size: int
    manifest: Manifest


def versions() -> dict[str, str]:
    """What the bundle was made with; another zlib may compress to other bytes."""
    return {
        **{name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def list_files(folder: Path) -> list[str]:
    """The names of all files of a bundle's folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def build(folder: Path, manifest: Manifest, store: BundleStore, digests: Digests, report: Report = silent) -> Packaged:
    """Keep what `manifest` lists in `folder` in the store, which may move what is in `digests`. Raises OSError and the
    store's errors."""
    digest, kept = store.keep(folder, manifest, report, digests)
    size = kept.stat().st_size if kept.is_file() else sum(entry.size for entry in manifest.files)
    return Packaged(digest, kept, size, manifest)
