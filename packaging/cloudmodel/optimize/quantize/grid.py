"""Weights that were trained to lie on a grid of 8 bits, written as 8 bits: the same numbers, a quarter of the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from cloudmodel.formats import onnx_files
from cloudmodel.optimize.quantize import checks

MOST = 127
"""The grid is symmetric and narrow, as TF-MOT and TFLite have it: -127 to 127."""
OFF = 0.01
"""How far a weight may lie beside its point, in steps: what float32 rounds."""
WEIGHT = 1
OUTPUT = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1, "Gemm": -1}
"""The axis of the output channels in the weights of each operator."""


def store(path: Path) -> int:
    """Put an int8 tensor with its DequantizeLinear in the place of every weight in `path` whose values lie on one grid,
    or on one a channel; returns how many there are."""
    model = onnx_files.load(path)
    graph = model.graph
    onnx_files.lift_constants(model)
    held = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, set[int]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            axis = OUTPUT[node.op_type] if node.op_type in OUTPUT and place == WEIGHT else None
            uses.setdefault(name, set()).add(-9 if axis is None else _axis(node, axis))
    made = []
    for name, axes in uses.items():
        tensor = held.get(name)
        if tensor is None or len(axes) != 1 or -9 in axes or len(tensor.dims) < 2:
            continue
        values = onnx_files.array_of(tensor)
        for axis, steps in _scales(values, axes.pop() % values.ndim):
            points = values / _spread(steps, axis, values.ndim)
            if np.abs(points - np.round(points)).max() <= OFF:
                graph.initializer.remove(tensor)
                graph.initializer.extend([
                    numpy_helper.from_array(np.round(points).astype(np.int8), f"{name}_int8"),
                    numpy_helper.from_array(steps, f"{name}_scale"),
                    numpy_helper.from_array(np.zeros(steps.shape, np.int8), f"{name}_zero"),
                ])  # fmt: skip
                inputs = [f"{name}_{part}" for part in ("int8", "scale", "zero")]
                node = helper.make_node("DequantizeLinear", inputs, [name], name=f"{name}_dequantize")
                if axis is not None:
                    node.attribute.append(helper.make_attribute("axis", axis))
                made.append(node)
                break
    onnx_files.put_nodes(graph, [*made, *graph.node])
    onnx_files.save(model, path.parent)
    return len(made)


def _axis(node: Any, axis: int) -> int:
    return 0 if checks.transposed(node) else axis


def _scales(values: NDArray[Any], axis: int) -> Iterator[tuple[int | None, NDArray[Any]]]:
    """One step for all, then one a channel: the largest weight is the grid's last point."""
    yield None, _step(np.abs(values).max())
    yield axis, _step(np.abs(values).max(axis=tuple(place for place in range(values.ndim) if place != axis)))


def _step(largest: Any) -> NDArray[Any]:
    return np.where(largest > 0, largest / MOST, 1).astype(np.float32)


def _spread(steps: NDArray[Any], axis: int | None, rank: int) -> NDArray[Any]:
    return steps if axis is None else steps.reshape([-1 if place == axis else 1 for place in range(rank)])
