"""Which nodes lose most by quantization: the signal-to-noise ratio of what each one reads, before and after rounding.

From the ranking comes a list of nodes to leave float; how long a prefix of it has to be is found by bisection, which
needs log2(nodes) trials where a search node by node needs as many as there are nodes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import onnx_files
from cloudmodel.formats.session import open_session
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.quantize import checks

ROWS = 16
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
GEMM_BECOMES = "_MatMul"
"""What onnxruntime's dynamic quantizer adds to the name of a Gemm, which becomes a MatMul and an Add there."""
CLEAN = 200.0
"""dB, for activations that did not change at all."""


@dataclass(frozen=True)
class Node:
    """A node with weights and the signal-to-noise ratio of its inputs in dB: small is bad."""

    name: str
    operator: str
    sqnr: float


def rank(model: Path, quantized: Path, data: Dataset) -> list[Node]:
    """The quantized nodes with weights, worst first. `model` is the prepared float graph of `quantized`.

    SQNR = -10 log10(sum over the node's inputs of noise power / signal power), each input before and after its own
    rounding, over ROWS rows: what the node loses by itself, and not what came in. Raises StepFailed.
    """
    rows = data.take(np.arange(min(ROWS, len(data))))
    graph, plain = onnx_files.load(quantized), onnx_files.load(model).graph
    pairs = _pairs(graph.graph, plain) or _dynamic_pairs(graph.graph, plain)
    if not pairs:
        raise StepFailed("No node with weights is quantized", where=str(quantized))
    weights = {tensor.name: tensor for tensor in plain.initializer}
    wanted = {pair.rounded for pair in pairs} | {pair.exact for pair in pairs if pair.exact not in weights}
    values = _activations(graph, sorted(wanted), rows)
    noise: dict[str, float] = {}
    for pair in pairs:
        weight = weights.get(pair.exact)
        exact = values[pair.exact] if weight is None else _flat(onnx_files.array_of(weight), pair.transposed)
        more = _noise(np.asarray(exact, dtype=np.float64), values[pair.rounded], pair.activation)
        noise[pair.node] = noise.get(pair.node, 0.0) + more
    operators = {node.name: node.op_type for node in plain.node}
    ranked = (Node(name, operators[name], min(CLEAN, -10 * log10(max(each, 1e-30)))) for name, each in noise.items())
    return sorted(ranked, key=lambda node: (node.sqnr, node.name))


def shortest_prefix(length: int, passes: Callable[[int], bool]) -> int | None:
    """The shortest prefix of a ranking of `length` nodes for which `passes(prefix)`; None where not even all but one
    helps. Asks about log2(length) times; `passes` should not get worse with a longer prefix."""
    low, high = 0, length
    if length == 0 or not passes(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


class _Pair(NamedTuple):
    """An input of a node before and after its rounding. The quantizer takes a Relu or Clip before it away, for the
    rounding does the same: `activation` names it. A Gemm's weights may have been `transposed` on the way."""

    node: str
    exact: str
    rounded: str
    activation: str = ""
    transposed: bool = False


def _pairs(quantized: Any, plain: Any) -> list[_Pair]:
    own = {node.name: node for node in plain.node}
    constants = {tensor.name for tensor in plain.initializer}
    plain_makers = {name: node.op_type for node in plain.node for name in node.output}
    makers = {name: node for node in quantized.node for name in node.output}
    found = []
    for node in quantized.node:
        if node.op_type not in WEIGHTED or node.name not in own:
            continue
        for place, name in enumerate(node.input[:2]):
            rounded, before = makers.get(name), own[node.name].input[place]
            if rounded is None or rounded.op_type != "DequantizeLinear":
                continue
            source = makers.get(rounded.input[0])
            if source is not None and source.op_type == "QuantizeLinear":
                found.append(_Pair(node.name, source.input[0], name, plain_makers.get(before, "")))
            elif before in constants:
                found.append(_Pair(node.name, before, name))
    return found


def _dynamic_pairs(quantized: Any, plain: Any) -> list[_Pair]:
    """The same of a graph that is quantized while it runs. It never has the rounded numbers as floats, so nodes that
    make them are added to `quantized`."""
    from onnx import helper

    own = {node.name: node for node in plain.node}
    makers = {name: node for node in quantized.node for name in node.output}
    stored = {tensor.name: tensor for tensor in quantized.initializer}
    found = []
    for node in [each for each in quantized.node if each.op_type == "MatMulInteger"]:
        name = node.name.removesuffix("_quant")
        origin = own.get(name) or own.get(name.removesuffix(GEMM_BECOMES))
        source = makers.get(node.input[0])
        if origin is None or source is None or source.op_type != "DynamicQuantizeLinear":
            continue
        read, held = f"{node.name}_read", f"{node.name}_weights"
        quantized.node.append(helper.make_node("DequantizeLinear", list(source.output), [read]))
        found.append(_Pair(origin.name, source.input[0], read))
        scale = f"{node.input[1].removesuffix('_quantized')}_scale"
        if node.input[1] in stored and scale in stored:
            inputs = [node.input[1], scale, node.input[3]]
            quantized.node.append(helper.make_node("DequantizeLinear", inputs, [held], axis=-1))
            found.append(_Pair(origin.name, origin.input[1], held, transposed=checks.transposed(origin)))
    return found


def _activations(model: Any, names: Sequence[str], rows: Dataset) -> dict[str, Any]:
    """The values of tensors inside the graph: the model's inputs as they are, others over all rows, flat."""
    import onnx

    given = {value.name for value in model.graph.output}
    wanted = [name for name in names if name not in rows.inputs]
    for name in wanted:
        if name not in given:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    with tempfile.TemporaryDirectory(prefix="cloudmodel-rank-") as work:
        session = open_session(onnx_files.save(model, Path(work)), optimize=False)
        fixed = next((each.shape[0] for each in session.get_inputs() if isinstance(each.shape[0], int)), None)
        parts: dict[str, list[Any]] = {name: [] for name in wanted}
        for start in range(0, len(rows), fixed or 1):
            index = np.arange(start, start + (fixed or 1)) % len(rows)
            found = session.run(wanted, {name: array[index] for name, array in rows.inputs.items()})
            for name, array in zip(wanted, found, strict=True):
                if start == 0 or not _constant(model, name):
                    parts[name].append(np.asarray(array, dtype=np.float64).ravel())
    flat = {name: array for name, array in rows.inputs.items() if name in names}
    return {name: np.concatenate(arrays) for name, arrays in parts.items()} | {
        name: np.asarray(array, dtype=np.float64).ravel() for name, array in flat.items()
    }


def _constant(model: Any, name: str) -> bool:
    """Whether a tensor is a weight that was rounded: it is the same for every row."""
    maker = next((node for node in model.graph.node if name in node.output), None)
    return maker is not None and maker.input[0] in {tensor.name for tensor in model.graph.initializer}


def _flat(weights: Any, transposed: bool) -> Any:
    return (weights.T if transposed else weights).ravel()


def _noise(exact: Any, rounded: Any, activation: str) -> float:
    """Noise power over signal power; 0 where there is no signal, or the two cannot be compared."""
    if exact.shape != rounded.shape:
        return 0.0
    if activation == "Relu":
        exact = np.maximum(exact, 0)
    elif activation == "Clip":
        exact = np.clip(exact, rounded.min(), rounded.max())
    signal = float((exact**2).sum())
    return float(((exact - rounded) ** 2).sum()) / signal if signal else 0.0
