"""HDF5, Keras' older file: walked by h5py in a process of its own, because a broken file can end the one that reads it.

A link or a dataset that lies in another file is refused (CVE-2026-1669), so is code in Keras' configuration.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudmodel.core import confined
from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning import keras_config

SECONDS = 120
MEMORY = 4 << 30
MAX_OBJECTS = 200_000
CONFIGS = ("model_config", "training_config", "config")


def scan(path: Path, where: str) -> list[Finding]:
    """What is wrong with an HDF5 file."""
    if importlib.util.find_spec("h5py") is None:
        detail = "an HDF5 file, and h5py is not here to look into it: pip install 'cloudmodel[keras]'"
        return [Finding(rule="not-scanned", location=where, detail=detail)]
    command = [sys.executable, "-P", "-m", "cloudmodel.formats.scanning.hdf5", str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL, env=confined.bare()
        )
        rows = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return [Finding(rule="unreadable", location=where, detail="h5py cannot read the file")]
    return [each for row in rows for each in _judged(row, where)]


def _judged(row: dict[str, str], where: str) -> list[Finding]:
    if row["rule"] == "keras-config":
        return keras_config.scan(row["detail"].encode(), f"{where}: {row['at']}")
    return [Finding(rule=row["rule"], location=f"{where}: {row['at']}", detail=row["detail"])]


def _walk(path: str) -> Iterator[dict[str, str]]:
    """In the process of its own: what the file holds that a scan must know."""
    import h5py

    with h5py.File(path, "r") as file:
        waiting: list[Any] = [file]
        seen: set[Any] = set()
        while waiting:
            group = waiting.pop()
            yield from _configurations(group)
            for name in group:
                link = group.get(name, getlink=True)
                at = f"{group.name}/{name}".replace("//", "/")
                if isinstance(link, h5py.ExternalLink):
                    yield {"rule": "external-link", "at": at, "detail": f"is a link into the file {link.filename!r}"}
                    continue
                if isinstance(link, h5py.SoftLink):
                    continue
                found = group[name]
                if isinstance(found, h5py.Dataset):
                    if found.external:
                        detail = f"lies in the file {found.external[0][0]!r}"
                        yield {"rule": "external-link", "at": at, "detail": detail}
                    if found.is_virtual:
                        yield {"rule": "external-link", "at": at, "detail": "is put together from other files"}
                elif isinstance(found, h5py.Group):
                    key = h5py.h5o.get_info(found.id).addr
                    if key not in seen:
                        seen.add(key)
                        waiting.append(found)
                if len(seen) > MAX_OBJECTS:
                    yield {"rule": "too-complex", "at": at, "detail": f"more than {MAX_OBJECTS:,} groups"}
                    return


def _configurations(group: Any) -> Iterator[dict[str, str]]:
    for name in CONFIGS:
        if name in group.attrs:
            value = group.attrs[name]
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            yield {"rule": "keras-config", "at": f"{group.name}@{name}", "detail": text}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        rows = list(_walk(sys.argv[1]))
    except Exception as error:  # whatever h5py says of a file that it cannot read
        rows = [{"rule": "unreadable", "at": "file", "detail": str(error)[:300]}]
    json.dump(rows, sys.stdout)
