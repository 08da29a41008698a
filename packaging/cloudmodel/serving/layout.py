"""What a serving layout is: who writes it, around what, which formats its container takes, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmodel.formats.model import Signature

ONNX = "onnx"


@dataclass(frozen=True)
class Content:
    """What a layout is written around. `name` is the project's. `format` is that of the model's files: `onnx` where it
    was exported. `model` is the file or folder itself: for ONNX `model.onnx`, in the bundle's folder already; else the
    scanned copy outside of it, which the writer may move. `signature` is complete. `head` is what a
    model of transformers is asked for (`runtime/heads.py`)."""

    name: str
    format: str
    model: Path
    signature: Signature
    task: str | None = None
    head: Mapping[str, Any] | None = None

    @property
    def batch(self) -> str | None:
        """The symbol that every input and output begins with; None where there is no such one."""
        shapes = [tensor.shape for tensor in (*self.signature.inputs, *self.signature.outputs)]
        first = {shape[0] if shape else None for shape in shapes}
        symbol = first.pop() if len(first) == 1 else None
        return symbol if isinstance(symbol, str) else None


@dataclass(frozen=True)
class Layout:
    """`write` puts the model and its serving code into a bundle's folder; `takes` are the formats that the container
    can serve, in the words of cloudmodel.yaml. A container without our code is asked in JSON of its own: `body` writes
    the request."""

    write: Callable[[Path, Content], None]
    takes: tuple[str, ...] = (ONNX,)
    body: Callable[[Mapping[str, Any]], bytes] | None = None
