"""Kernels cut to what meets the input: a 3x3 kernel over a 1x1 map multiplies eight of its nine weights with padding.

Float convolutions of onnxruntime skip those products; the 8-bit ones go through a matrix product that does not, so
quantizing such a net gains less than it could. Exact but for the order of sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

    def kept(self) -> tuple[int, int]:
        """The first tap that meets a value of the input, and the first behind the last. All taps where none does, or
        where the padding cannot give up what the kernel does."""
        met = [tap for tap in range(self.taps) if self._meets(tap)]
        first, end = (met[0], met[-1] + 1) if met else (0, self.taps)
        return (first, end) if min(self._padding(first, end)) >= 0 else (0, self.taps)

    def cut(self) -> Axis:
        """The same axis with these taps alone. As its padding gives up what the kernel does, there are as many outputs
        as before, for an input of any length."""
        first, end = self.kept()
        before, after = self._padding(first, end)
        return replace(self, taps=end - first, before=before, after=after)

    def _meets(self, tap: int) -> bool:
        """Whether for an output's place 0 <= place * stride + tap * dilation - before < length."""
        start = self.before - tap * self.dilation
        first, last = max(0, -(-start // self.stride)), (start + self.length - 1) // self.stride
        return first <= min(last, self.outputs - 1)

    def _padding(self, first: int, end: int) -> tuple[int, int]:
        return self.before - first * self.dilation, self.after - (self.taps - end) * self.dilation


class TrimPadding(Simplifier):
    """Cut the weights of convolutions that only ever meet padding, where the input's size is known from the graph."""

    name: ClassVar[str] = "trim-padding"

    def inapplicable(self, before: Artifact, material: Material, parameters: Any) -> str | None:
        if next(_cuttable(before.model), None):
            return None
        return "no convolution of known size has weights that only meet padding"

    def rewrite(self, path: Path, folder: Path) -> Any:
        model = onnx_files.load(path)
        onnx_files.lift_constants(model)
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        cuttable = dict(_cuttable(path))
        _keep(model.graph.value_info, lambda value: value.name not in cuttable)  # some files tell weights' shapes again
        for name, places in cuttable.items():
            for place, axes in places.items():
                cut = [axis.cut() for axis in axes]
                _put(model.graph.node[place], "kernel_shape", [axis.taps for axis in cut])
                _put(model.graph.node[place], "pads", [axis.before for axis in cut] + [axis.after for axis in cut])
                _put(model.graph.node[place], "auto_pad", None)
            taps = (slice(first, end) for first, end in _kept(axes))
            part = np.ascontiguousarray(onnx_files.array_of(weights[name])[(slice(None), slice(None), *taps)])
            weights[name].CopyFrom(numpy_helper.from_array(part, name))
        return model


def _cuttable(path: Path) -> Iterator[tuple[str, dict[int, tuple[Axis, ...]]]]:
    """The weights of a file that only convolutions use, all of them the same taps: a weight's name, and the axes of
    each convolution by its place among the nodes (Constant nodes lifted). The weights themselves are not looked at."""
    model = onnx_files.load_graph(path)
    onnx_files.lift_constants(model)
    graph = model.graph
    given = {value.name for value in (*graph.input, *graph.output)}  # a request may give it, or ask for it
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer if tensor.name not in given}
    users: dict[str, dict[int, Any]] = defaultdict(dict)
    for place, node in enumerate(graph.node):
        if node.op_type == "Conv" and node.domain in ("", "ai.onnx") and any(n > 1 for n in _taps(weights, node)):
            users[node.input[1]][place] = node
    if not users:
        return
    lengths, uses = _lengths(model), Counter(name for node in onnx_files.nodes(graph) for name in node.input)
    for name, nodes in users.items():
        taps = weights[name][2:]
        places = {place: _axes(node, lengths.get(node.input[0], ()), taps) for place, node in nodes.items()}
        kept = {_kept(axes) for axes in places.values()}
        if uses[name] == len(places) and len(kept) == 1 and kept.isdisjoint([(), tuple((0, n) for n in taps)]):
            yield name, places


def _taps(weights: Mapping[str, tuple[int, ...]], node: Any) -> tuple[int, ...]:
    return weights.get(node.input[1], ())[2:] if len(node.input) > 1 else ()


def _kept(axes: tuple[Axis, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(axis.kept() for axis in axes)


def _lengths(model: Any) -> dict[str, tuple[int, ...]]:
    """The spatial lengths of every tensor for which they follow from the inputs' declared shapes: onnxruntime refuses
    other inputs, but not other values than a file says of its inner tensors. Empties large weights and such words."""
    graph = model.graph
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    for tensor in graph.initializer:
        if len(tensor.raw_data) >= onnx_files.SMALL:
            tensor.ClearField("raw_data")
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # a graph that it cannot follow has nothing to cut
        return {}
    found = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        lengths = tuple(each.dim_value for each in value.type.tensor_type.shape.dim[2:])
        if lengths and all(length > 0 for length in lengths):
            found[value.name] = lengths
    return found


def _axes(node: Any, lengths: tuple[int, ...], taps: tuple[int, ...]) -> tuple[Axis, ...]:
    """A convolution's spatial axes; none where they are not known or do not fit each other."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    count = len(taps)
    strides, dilations = (given.get(name, [1] * count) for name in ("strides", "dilations"))
    if (len(lengths), len(strides), len(dilations)) != (count, count, count) or min(*strides, *dilations, *taps) < 1:
        return ()
    pads: Sequence[int] | None = given.get("pads", [0] * 2 * count)
    if (mode := given.get("auto_pad", b"NOTSET")) in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = _same(lengths, taps, strides, dilations, upper=mode == b"SAME_UPPER")
    if pads is None or len(pads) != 2 * count:
        return ()
    return tuple(map(Axis, lengths, taps, strides, dilations, pads[:count], pads[count:]))


def _same(
    lengths: Sequence[int], taps: Sequence[int], strides: Sequence[int], dilations: Sequence[int], *, upper: bool
) -> list[int] | None:
    """The paddings that ONNX's SAME_UPPER and SAME_LOWER stand for; None where a stride leaps over the kernel, for
    onnxruntime then moves the window."""
    befores, afters = [], []
    for length, tap, stride, dilation in zip(lengths, taps, strides, dilations, strict=True):
        whole = (-(-length // stride) - 1) * stride + dilation * (tap - 1) + 1 - length
        if whole < 0:
            return None
        less, more = whole // 2, whole - whole // 2
        befores.append(less if upper else more)
        afters.append(more if upper else less)
    return befores + afters


def _put(node: Any, name: str, value: Any) -> None:
    """Set an attribute, or take it away with None."""
    _keep(node.attribute, lambda attribute: attribute.name != name)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def _keep(repeated: Any, wanted: Callable[[Any], bool]) -> None:
    """Take out of a message's repeated field what is not wanted."""
    for place in reversed(range(len(repeated))):
        if not wanted(repeated[place]):
            del repeated[place]
