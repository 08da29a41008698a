"""Which file form a serving container expects, and who writes it."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.core.errors import Unsupported
from cloudmodel.serving import huggingface, onnxruntime, pytorch, sklearn, tfserving, torchserve, triton
from cloudmodel.serving.layout import ONNX, Layout

AUTO = "auto"

LAYOUTS: Mapping[str, Layout] = {
    "onnxruntime": Layout(onnxruntime.write),
    "pytorch": Layout(pytorch.write, ("torchscript", "torch-export")),
    "sklearn": Layout(sklearn.write, ("sklearn",)),
    "tfserving": Layout(tfserving.write, ("savedmodel",), tfserving.body),
    "huggingface": Layout(huggingface.write, ("huggingface",)),
    "triton": Layout(triton.write, (ONNX, "torchscript"), triton.body),
    "torchserve": Layout(torchserve.write, (ONNX, "torchscript")),
}
"""By the words of `serve.layout` in cloudmodel.yaml; of several that take a format, `auto` is the first."""


def choose(layout: str, format: str) -> tuple[str, ...]:
    """The layouts that a model of `format` may get, the best first: ONNX Runtime's for whatever can become ONNX, else
    its own runtime's. Raises Unsupported."""
    able = tuple(name for name, each in LAYOUTS.items() if ONNX in each.takes or format in each.takes)
    chosen = able if layout == AUTO else tuple(name for name in able if name == layout)
    if not chosen:
        takes = f", which is for {' and '.join(LAYOUTS[layout].takes)}" if layout in LAYOUTS else ""
        raise Unsupported(
            f"A model of the format {format} cannot be served with layout {layout!r}{takes}",
            where="cloudmodel.yaml: serve.layout",
            hint=f"choose one of: auto, {', '.join(able)}",
        )
    return chosen
