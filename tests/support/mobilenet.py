"""MobileNetV3-Small as an ONNX file, written node by node: a net whose time goes into depthwise convolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto as T
from onnx import helper

from onnx_models import save, value, weight
from optimize_parts import RANDOM_SEED


def mobilenet_v3_small(path: Path, classes: int = 10) -> Path:
    """image float32 [batch, 3, 96, 96] → logits float32 [batch, classes]: MobileNetV3-Small with its batch
    normalizations folded (Howard and others 2019, "Searching for MobileNetV3", table 2), with weights from a seed."""
    return _Mobile(classes).save(path)


BLOCKS = (
    # kernel, expansion, out, squeeze and excite, hard swish, stride
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)  # fmt: skip


class _Mobile:
    def __init__(self, classes: int) -> None:
        self.random = np.random.default_rng(RANDOM_SEED)
        self.tensors: list[Any] = []
        self.nodes: list[Any] = []
        last, width = self.convolve("stem", "image", 3, 16, 3, stride=2, act="HardSwish"), 16
        for number, block in enumerate(BLOCKS):
            last, width = self.block(f"block{number}", last, width, *block)
        last = self.convolve("last", last, width, 576, 1, act="HardSwish")
        pooled = self.node("GlobalAveragePool", [last], "pool")
        flat = self.node("Flatten", [pooled], "flat")
        hidden = self.node("HardSwish", [self.dense("hidden", flat, 576, 1024)], "hidden_swish")
        self.dense("classify", hidden, 1024, classes, output="logits")
        self.classes = classes

    def node(self, kind: str, inputs: list[str], name: str, output: str | None = None, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output or f"{name}_out"], name=name, **attributes))
        return output or f"{name}_out"

    def kernel(self, name: str, *shape: int) -> str:
        scale = (2 / int(np.prod(shape[1:]))) ** 0.5
        self.tensors.append(weight(name, self.random.normal(0, scale, shape).astype(np.float32)))
        return name

    def convolve(
        self,
        name: str,
        source: str,
        into: int,
        out: int,
        size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        act: str | None,
    ) -> str:
        inputs = [source, self.kernel(f"{name}_w", out, into // groups, size, size)]
        pads = [size // 2] * 4
        done = self.node("Conv", inputs, name, pads=pads, group=groups, strides=[stride] * 2)
        return self.node(act, [done], f"{name}_act") if act else done

    def block(
        self, name: str, source: str, width: int, size: int, wide: int, out: int, excite: bool, swish: bool, stride: int
    ) -> tuple[str, int]:
        act = "HardSwish" if swish else "Relu"
        inner = source if wide == width else self.convolve(f"{name}_expand", source, width, wide, 1, act=act)
        inner = self.convolve(f"{name}_deep", inner, wide, wide, size, stride=stride, groups=wide, act=act)
        if excite:
            few = max(8, (wide // 4 + 4) // 8 * 8)
            mean = self.node("GlobalAveragePool", [inner], f"{name}_mean")
            narrow = self.convolve(f"{name}_squeeze", mean, wide, few, 1, act="Relu")
            gate = self.convolve(f"{name}_excite", narrow, few, wide, 1, act="HardSigmoid")
            inner = self.node("Mul", [gate, inner], f"{name}_scale")
        done = self.convolve(f"{name}_project", inner, wide, out, 1, act=None)
        if stride == 1 and width == out:
            done = self.node("Add", [source, done], f"{name}_add")
        return done, out

    def dense(self, name: str, source: str, into: int, out: int, output: str | None = None) -> str:
        return self.node("Gemm", [source, self.kernel(f"{name}_w", out, into)], name, output, transB=1)

    def save(self, path: Path) -> Path:
        io = ([value("image", T.FLOAT, ["batch", 3, 96, 96])], [value("logits", T.FLOAT, ["batch", self.classes])])
        return save(path, self.nodes, *io, self.tensors)
