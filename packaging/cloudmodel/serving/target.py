"""Which file form a serving container expects, and who writes it."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.core.errors import Unsupported
from cloudmodel.serving import onnxruntime
from cloudmodel.serving.layout import ONNX, Layout

LAYOUTS: Mapping[str, Layout] = {"onnxruntime": Layout(onnxruntime.write)}
"""By the words of `serve.layout` in cloudmodel.yaml; of several that take a format, `auto` is the first."""


def choose(layout: str, format: str) -> tuple[str, ...]:
    """The layouts that a model of `format` may get, the best first: ONNX Runtime's for whatever can become ONNX, else
    its own runtime's. Raises Unsupported."""
    able = tuple(name for name, each in LAYOUTS.items() if ONNX in each.takes or format in each.takes)
    chosen = able if layout == "auto" else tuple(name for name in able if name == layout)
    if not chosen:
        raise Unsupported(
            f"A {format} model cannot be served with layout {layout!r}",
            where="cloudmodel.yaml: serve.layout",
            hint=f"choose one of: auto, {', '.join(able)}",
        )
    return chosen
