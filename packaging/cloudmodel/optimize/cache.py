"""What a search has made and measured, kept by everything that it depends on.

ROOT/artifacts/<key>/         a trial's model and trial.json; key = model, recipe, data, versions
ROOT/checkpoints/<key>/       how far the training of a trial is that was stopped
ROOT/answers/<key>.npz        a model's answers to a set of rows
ROOT/measurements/<key>.json  latencies; the key holds the processor's fingerprint too
ROOT/ranges/                  calibration, see quantize.calibration
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cloudmodel.core import files

PACKAGES = ("cloudmodel", "keras", "numpy", "onnx", "onnx-ir", "onnxoptimizer", "onnxruntime", "onnxscript", "onnxslim",
            "tensorflow", "tensorflow-cpu", "tensorflow-model-optimization", "tf-keras", "tf2onnx", "torch",
            "torch-pruning")  # fmt: skip
FACTS = "trial.json"


def versions() -> dict[str, str]:
    """The versions of all libraries that may have a part in a trial, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def key_of(*parts: Any) -> str:
    """The hex sha256 of the parts' canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code_of(folder: Path) -> str:
    """The hex sha256 of the project's own Python files, by name and content: a student, a layer's dropout and a metric
    are in them and in no model file. Hidden folders and virtual environments are left out."""
    digest = hashlib.sha256()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not Path(place, name, "pyvenv.cfg").exists()
        )
        for path in (Path(place, name) for name in sorted(names) if name.endswith(".py")):
            if path.is_file():
                digest.update(json.dumps([str(path.relative_to(folder)), _sha256(path)]).encode())
    return digest.hexdigest()


class Cache:
    """A folder of results; whatever is in it is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def artifact(self, key: str, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """The facts of a trial whose files lie in `<root>/artifacts/<key>`; `make(folder)` makes them there first
        where there are none, and leaves nothing where it raises. A model whose bytes changed since is made again."""
        folder = self.root / "artifacts" / key
        facts = _read(folder / FACTS)
        if facts is not None and Path(facts["model"]).is_file():
            from cloudmodel.formats.onnx_files import digest_of

            if digest_of(Path(facts["model"])) == facts["sha256"]:
                return facts
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            facts = make(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        files.write_text(folder / FACTS, json.dumps(facts, sort_keys=True))
        return facts

    def checkpoints(self, key: str) -> Path:
        """A folder for what a trial that is stopped leaves to go on from; its owner removes it."""
        return self.root / "checkpoints" / key

    def answers(self, key: str, make: Callable[[Path], object]) -> Path:
        """An npz file of answers; `make(path)` writes it where there is none."""
        path = self.root / "answers" / f"{key}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".part")
            make(partial)
            partial.replace(path)
        return path

    def measurement(self, key: str, *, reuse: bool, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """A measurement; one that was kept is taken with `reuse` only: a latency is evidence of its own day."""
        path = self.root / "measurements" / f"{key}.json"
        kept = _read(path) if reuse else None
        if kept is None:
            kept = dict(make())
            files.write_text(path, json.dumps(kept, sort_keys=True))
        return kept

    @property
    def ranges(self) -> Path:
        """Where calibration is kept."""
        return self.root / "ranges"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
