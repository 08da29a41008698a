"""Which file form a serving container expects, and who writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cloudmodel.core.errors import Unsupported
from cloudmodel.serving import onnxruntime

Writer = Callable[[Path], None]
"""Writes the serving code of a layout into a bundle's folder that already holds the model."""

WRITERS: Mapping[str, Writer] = {"onnxruntime": onnxruntime.write}
DEFAULT_FOR_FORMAT: Mapping[str, str] = {"onnx": "onnxruntime"}


def choose(layout: str, format: str) -> str:
    """The layout for a model's format; `auto` takes the format's own. Raises Unsupported."""
    chosen = DEFAULT_FOR_FORMAT.get(format) if layout == "auto" else layout
    if chosen is None or chosen not in WRITERS:
        raise Unsupported(
            f"A {format} model cannot be served with layout {layout!r}",
            where="cloudmodel.yaml: serve.layout",
            hint=f"choose one of: auto, {', '.join(WRITERS)}",
        )
    return chosen
