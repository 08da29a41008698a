"""Models and labelled data that ship inside packages of the registry: fetched once a machine, by exact version."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

CACHE = Path(tempfile.gettempdir()) / f"cloudmodel-wheels-{os.getuid()}"


def unpacked(requirement: str) -> Path:
    """The folder of a wheel's content, `NAME==VERSION`, without what the package depends on. Nothing of it is run."""
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = CACHE / requirement
    with FileLock(CACHE / f"{requirement}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as place:
                pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place]
                subprocess.run([*pip, requirement], check=True, timeout=300)
                (wheel,) = Path(place).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(Path(place) / "content")
                (Path(place) / "content").rename(folder)
    return folder


def sources(requirement: str) -> Path:
    """The folder of a source archive's content, `NAME==VERSION`; pip asks its setup.py for its name."""
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = CACHE / f"{requirement}-sources"
    with FileLock(CACHE / f"{requirement}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as place:
                pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
                subprocess.run([*pip, "--no-build-isolation", "--dest", place, requirement], check=True, timeout=300)
                (archive,) = Path(place).glob("*.tar.gz")
                with tarfile.open(archive) as content:
                    content.extractall(Path(place) / "content", filter="data")
                (inside,) = (Path(place) / "content").iterdir()
                inside.rename(folder)
    return folder
