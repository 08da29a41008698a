"""Kernels cut to what meets the input: a 3x3 kernel over a 1x1 map multiplies eight of its nine weights with padding.

Float convolutions of onnxruntime skip those products; the 8-bit ones go through a matrix product that does not, so
quantizing such a net gains less than it could. Exact but for the order of sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cloudmodel.formats import onnx_files
from cloudmodel.optimize.graph.simplify import Simplifier
from cloudmodel.optimize.technique import Artifact, Material


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a convolution: the input's length, the kernel's taps, and how it moves (ONNX's Conv)."""

    length: int
    taps: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def outputs(self) -> int:
        """How many values come out along the axis."""
        return (self.length + self.before + self.after - self.dilation * (self.taps - 1) - 1) // self.stride + 1

    def useful(self) -> tuple[int, int]:
        """The first tap that meets a value of the input, and the first behind the last; all where that is unclear."""
        met = [
            tap for tap in range(self.taps)
            if any(0 <= place * self.stride + tap * self.dilation - self.before < self.length
                   for place in range(self.outputs))
        ]  # fmt: skip
        return (met[0], met[-1] + 1) if met and self.outputs > 0 else (0, self.taps)

    def cut(self) -> Axis:
        """The same axis with the useful taps alone, or itself where no padding gives the same outputs for them."""
        first, end = self.useful()
        taps, before = end - first, self.before - first * self.dilation
        reach = (self.outputs - 1) * self.stride + self.dilation * (taps - 1) + 1
        new = Axis(self.length, taps, self.stride, self.dilation, before, max(0, reach - self.length - before))
        return new if before >= 0 and new.outputs == self.outputs else self


class TrimPadding(Simplifier):
    """Cut the weights of convolutions that only ever meet padding, where the input's size is known from the graph."""

    name: ClassVar[str] = "trim-padding"

    def inapplicable(self, before: Artifact, material: Material, parameters: Any) -> str | None:
        model = onnx_files.load_graph(before.model)
        onnx_files.lift_constants(model)
        if any(True for _ in _cuttable(model)):
            return None
        return "no convolution of known size has weights that only meet padding"

    def rewrite(self, path: Path, folder: Path) -> Any:
        model = onnx_files.load(path)
        onnx_files.lift_constants(model)
        whole = {tensor.name: tensor for tensor in model.graph.initializer}
        replaced = set()
        for node, axes in list(_cuttable(model)):
            cut = [axis.cut() for axis in axes]
            replaced.add(node.input[1])
            node.input[1] = _cut_weights(model.graph, whole[node.input[1]], axes)
            _put(node, "kernel_shape", [axis.taps for axis in cut])
            _put(node, "pads", [axis.before for axis in cut] + [axis.after for axis in cut])
            _put(node, "auto_pad", None)
        _drop_unused(model.graph, replaced)
        return model


def _cuttable(model: Any) -> Iterator[tuple[Any, tuple[Axis, ...]]]:
    """The graph's convolutions whose kernels can be cut, with their axes as they are."""
    given = {value.name for value in model.graph.input}  # a weight that a request may give is none
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer if tensor.name not in given}
    if not any(node.op_type == "Conv" for node in model.graph.node):
        return
    shapes = _shapes(model)
    for node in model.graph.node:
        if node.op_type != "Conv" or node.domain not in ("", "ai.onnx") or node.input[1] not in weights:
            continue
        axes = _axes(node, shapes.get(node.input[0], ()), weights[node.input[1]])
        if any(axis.cut() != axis for axis in axes):
            yield node, axes


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The spatial lengths of every tensor whose shape is known beyond batch and channels."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # what has no shapes has nothing to cut
        graph = model.graph
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        lengths = tuple(each.dim_value for each in value.type.tensor_type.shape.dim[2:])
        if lengths and all(length > 0 for length in lengths):
            found[value.name] = lengths
    return found


def _axes(node: Any, lengths: tuple[int, ...], weight: tuple[int, ...]) -> tuple[Axis, ...]:
    """A convolution's spatial axes; none where its input's lengths do not fit its weights."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    taps, count = weight[2:], len(lengths)
    if count == 0 or len(taps) != count:
        return ()
    strides, dilations = (given.get(name, [1] * count) for name in ("strides", "dilations"))
    pads = list(given.get("pads", [0] * 2 * count))
    if (mode := given.get("auto_pad", b"NOTSET")) in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = _same(lengths, taps, strides, dilations, upper=mode == b"SAME_UPPER")
    return tuple(map(Axis, lengths, taps, strides, dilations, pads[:count], pads[count:]))


def _same(lengths: Any, taps: Any, strides: Any, dilations: Any, *, upper: bool) -> list[int]:
    """The paddings that ONNX's SAME_UPPER and SAME_LOWER stand for."""
    befores, afters = [], []
    for length, tap, stride, dilation in zip(lengths, taps, strides, dilations, strict=True):
        whole = max(0, (-(-length // stride) - 1) * stride + dilation * (tap - 1) + 1 - length)
        less, more = whole // 2, whole - whole // 2
        befores.append(less if upper else more)
        afters.append(more if upper else less)
    return befores + afters


def _cut_weights(graph: Any, tensor: Any, axes: tuple[Axis, ...]) -> str:
    """Put the useful part of a weight into the graph, once for all that cut it alike; returns its name."""
    ranges = [axis.useful() if axis.cut() != axis else (0, axis.taps) for axis in axes]
    new = f"{tensor.name}_taps_" + "_".join(f"{first}_{end}" for first, end in ranges)
    if all(each.name != new for each in graph.initializer):
        whole = onnx_files.array_of(tensor)
        part = whole[(slice(None), slice(None), *(slice(first, end) for first, end in ranges))]
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(part), new))
    return new


def _put(node: Any, name: str, value: Any) -> None:
    """Set an attribute, or take it away with None."""
    kept = [each for each in node.attribute if each.name != name]
    if value is not None:
        kept.append(helper.make_attribute(name, value))
    copies = [onnx.AttributeProto.FromString(each.SerializeToString()) for each in kept]
    del node.attribute[:]
    node.attribute.extend(copies)


def _drop_unused(graph: Any, replaced: set[str]) -> None:
    """Leave out the whole weights that nothing uses any more."""
    used = {name for node in onnx_files.nodes(graph) for name in node.input} | {value.name for value in graph.output}
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name in replaced - used:
            del graph.initializer[place]
