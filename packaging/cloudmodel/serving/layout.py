"""What a serving layout is: who writes it, around what, and which formats its container takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloudmodel.formats.model import Signature

ONNX = "onnx"


@dataclass(frozen=True)
class Content:
    """What a layout is written around. `format` is that of the model's files: `onnx` where it was exported. `model` is
    the file or folder itself: for ONNX `model.onnx`, in the bundle's folder already; else the scanned copy outside of
    it, which the writer may move. `signature` is complete."""

    format: str
    model: Path
    signature: Signature
    task: str | None = None


@dataclass(frozen=True)
class Layout:
    """`write` puts the model and its serving code into a bundle's folder; `takes` are the formats that the container
    can serve, in the words of cloudmodel.yaml."""

    write: Callable[[Path, Content], None]
    takes: tuple[str, ...] = (ONNX,)
