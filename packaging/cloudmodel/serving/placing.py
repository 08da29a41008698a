"""Where a model's files lie in a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from cloudmodel.formats.onnx import external_files, read_header
from cloudmodel.serving.layout import ONNX, Content

FILES = {ONNX: "model.onnx", "torchscript": "model.pt", "torch-export": "model.pt2", "sklearn": "model.joblib"}
"""What the serving code and Triton's backends call the file of a format."""


def place(content: Content, folder: Path) -> tuple[Path, ...]:
    """Move a model of one file into `folder`, an ONNX model's weights beside it; returns what lies there, relative to
    it, the model first."""
    name = FILES[content.format]
    beside = external_files(read_header(content.model)) if content.format == ONNX else ()
    for source, target in ((content.model.name, name), *((each, each) for each in beside)):
        _move(content.model.parent / source, folder / target)
    return (Path(name), *map(Path, beside))


def place_folder(content: Content, target: Path) -> None:
    """Move what is in a model's folder into the folder `target`."""
    for path in sorted(content.model.iterdir()):
        _move(path, target / path.name)


def _move(source: Path, target: Path) -> None:
    if source != target:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
