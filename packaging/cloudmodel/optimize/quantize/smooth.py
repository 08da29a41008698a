"""Smoothing: what a few channels of an activation reach beyond all others is moved into the weights that follow.

Dynamic int8 has one step for a whole activation. Where one channel of it is ten times the others, as behind the layer
normalizations of sentence encoders, the others keep three bits, and some rows turn far. Each channel j of an activation
X that only matrices W take is divided by s_j, and row j of W multiplied by it (SmoothQuant, Xiao et al. 2023, eq. 4):

    s_j = max|X_j|^strength / max|W_j|^(1 - strength), over the geometric mean of all, to the nearest power of two

Powers of two, so that the float model's answers stay what they were and the bytes are the same on every processor. A
step before `dynamic-int8`; alone it gains nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.formats.session import open_session
from cloudmodel.optimize import inference, proof
from cloudmodel.optimize.data import Dataset, check_calibration, read_npz
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

TAKES = ("MatMul", "Gemm")
SMOOTHED = "_smooth"
FARTHEST = 12
"""The largest power of two, up or down: a channel that is nearly silent is no reason for more."""
ROWS = 32
"""Rows whose activations are held at once."""


class Smoothing(Parameters):
    """How much of the spread goes into the weights: 0 moves none, 1 all of it."""

    strength: Annotated[float, Field(gt=0, lt=1)] = 0.7


class Smooth:
    """Smoothing of the activations before every MatMul and Gemm with constant weights."""

    name: ClassVar[str] = "smooth"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = Smoothing

    def inapplicable(self, before: Artifact, material: Material, parameters: Smoothing) -> str | None:
        if material.calibration is None:
            return "there are no calibration rows; name them as optimize.calibrate"
        return checks.quantized_already(before.model) or checks.no_weights(before.model, TAKES)

    def apply(
        self, before: Artifact, material: Material, parameters: Smoothing, folder: Path, report: Report = silent
    ) -> Artifact:
        from onnx import helper, numpy_helper

        assert material.calibration is not None
        data = read_npz(material.calibration, material.signature)
        check_calibration(data)
        model = onnx_files.load(before.model)
        onnx_files.lift_constants(model)
        onnx_files.name_nodes(model)
        graph = model.graph
        weights = {tensor.name: tensor for tensor in graph.initializer}
        takers = _takers(graph, weights)
        reached = _reached(model, list(takers), data, material, folder)
        before_node: dict[str, Any] = {}
        for activation, nodes in takers.items():
            held = [_rows_first(node, onnx_files.array_of(weights[node.input[1]])) for node in nodes]
            powers = _powers(reached[activation], held, parameters.strength)
            if not powers.any():
                continue
            scale, smoothed = np.exp2(powers).astype(np.float32), f"{activation}{SMOOTHED}"
            graph.initializer.append(numpy_helper.from_array((1 / scale).astype(np.float32), f"{smoothed}_factors"))
            multiply = helper.make_node("Mul", [activation, f"{smoothed}_factors"], [smoothed], name=smoothed)
            before_node[nodes[0].name] = multiply
            for node, array in zip(nodes, held, strict=True):
                changed = _rows_first(node, array * scale[:, None])
                graph.initializer.append(numpy_helper.from_array(changed, f"{node.name}{SMOOTHED}_weight"))
                node.input[0], node.input[1] = smoothed, f"{node.name}{SMOOTHED}_weight"
        _put(graph, before_node)
        return Artifact(onnx_files.save(model, folder))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        graph = onnx_files.load(after.model, weights=False).graph
        count = sum(node.op_type == "Mul" and node.name.endswith(SMOOTHED) for node in graph.node)
        return proof.changed(before, after, note="no speed-up expected by itself", smoothed=count)


def _takers(graph: Any, weights: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The nodes that multiply each inner activation by constant weights of two dimensions."""
    given = {value.name for value in graph.input}
    found: dict[str, list[Any]] = {}
    for node in graph.node:
        turned = any(each.name == "transA" and each.i for each in node.attribute)
        tensor = weights.get(node.input[1]) if node.op_type in TAKES and len(node.input) > 1 else None
        if tensor is not None and len(tensor.dims) == 2 and not turned and node.input[0] not in {*given, *weights}:
            found.setdefault(node.input[0], []).append(node)
    return found


def _rows_first(node: Any, array: NDArray[Any]) -> NDArray[Any]:
    """[in, out] of a weight as it stands, or back: a Gemm may hold it transposed."""
    return np.ascontiguousarray(array.T) if checks.transposed(node) else array


def _reached(
    model: Any, activations: Sequence[str], data: Dataset, material: Material, folder: Path
) -> dict[str, NDArray[Any]]:
    """The largest size of each channel of each activation on all rows. Raises StepFailed where it is no number."""
    from onnx import ModelProto, TensorProto, helper

    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in activations)
    most: dict[str, NDArray[Any]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = onnx_files.save(watched, Path(place))
        del watched
        try:
            session = open_session(path)
            for inputs, _ in inference.batches(data, material.signature, ROWS):
                for name, values in zip(activations, session.run(list(activations), inputs), strict=True):
                    largest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
                    most[name] = np.maximum(most[name], largest) if name in most else largest
        except Exception as error:
            raise StepFailed(f"The activations cannot be seen: {' '.join(str(error).split())[:300]}") from error
    for name, largest in most.items():
        checks.check_finite(name, largest, data.where)
    return most


def _powers(reached: NDArray[Any], weights: Sequence[NDArray[Any]], strength: float) -> NDArray[Any]:
    """The exponents of two of each channel's scale; 0 for channels that are silent here or weigh nothing."""
    weight = np.max([np.abs(each).max(axis=1) for each in weights], axis=0).astype(np.float64)
    heard = (reached > 0) & (weight > 0)
    if not heard.any():
        return np.zeros(len(reached))
    logs = np.zeros(len(reached))
    logs[heard] = strength * np.log2(reached[heard]) - (1 - strength) * np.log2(weight[heard])
    logs[heard] -= logs[heard].mean()
    return np.clip(np.round(logs), -FARTHEST, FARTHEST)


def _put(graph: Any, before_node: Mapping[str, Any]) -> None:
    """Each new node before the first that needs it, and no weight that nobody takes any more."""
    nodes = []
    for node in graph.node:
        if node.name in before_node:
            nodes.append(before_node[node.name])
        nodes.append(node)
    onnx_files.put_nodes(graph, nodes)
    used = {name for node in onnx_files.nodes(graph) for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
