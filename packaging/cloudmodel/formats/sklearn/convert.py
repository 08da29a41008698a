"""From a fitted estimator to ONNX, by skl2onnx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import skl2onnx
from onnx import helper
from skl2onnx.common import data_types
from sklearn.base import is_classifier
from sklearn.feature_extraction.text import CountVectorizer

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import onnx_files
from cloudmodel.formats.model import Tensor
from cloudmodel.formats.original import Asked

OPSET = {"": 20, "ai.onnx.ml": 3}
LOCALE = "C.UTF-8"
"""For small letters; every image of glibc has it, where skl2onnx's own choice is a locale of one country."""
TYPES = {
    "float32": data_types.FloatTensorType, "float64": data_types.DoubleTensorType, "int64": data_types.Int64TensorType,
    "int32": data_types.Int32TensorType, "bool": data_types.BooleanTensorType, "str": data_types.StringTensorType,
}  # fmt: skip


def convert(estimator: Any, asked: Asked, folder: Path) -> Path:
    """Write `model.onnx` with the outputs' own names and shapes: probabilities as an array and not as a list of maps,
    one number a row where the estimator gives that. Raises StepFailed, and what skl2onnx raises."""
    columns = len(asked.signature.inputs) > 1
    types = [(tensor.name, _type(tensor, column=columns)) for tensor in asked.signature.inputs]
    wanted = asked.signature.outputs
    model = _converted(estimator, types, raw=any(tensor.name == "scores" for tensor in wanted))
    graph = model.graph
    if len(graph.output) < len(wanted):
        raise StepFailed(f"skl2onnx writes {len(graph.output)} outputs of {len(wanted)}")
    del graph.output[len(wanted) :]
    for place, (value, tensor) in enumerate(zip(graph.output, wanted, strict=True)):
        _answer(graph, value, tensor, f"answer_{place}")
    if columns:
        _flat_inputs(graph)
    onnx.checker.check_model(model)
    return onnx_files.save(model, folder)


def _converted(estimator: Any, types: list[tuple[str, Any]], *, raw: bool) -> Any:
    """Not every converter knows every option: the first set that all know."""
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    words = {id(step): {"locale": LOCALE} for step in _parts(estimator) if isinstance(step, CountVectorizer)}
    flat, scores = {id(estimator): {"zipmap": False}}, {id(steps[-1]): {"raw_scores": True}}
    both = {id(estimator): {"zipmap": False}, id(steps[-1]): {"raw_scores": True, "zipmap": False}}
    refused: NameError | None = None
    for options in ([both, scores, flat, {}] if raw else [flat, {}]) if is_classifier(estimator) else [{}]:
        try:
            return skl2onnx.to_onnx(
                estimator, initial_types=types, options={**words, **options} or None, target_opset=OPSET
            )
        except NameError as error:
            refused = error
    assert refused is not None
    raise refused


def _parts(estimator: Any) -> Iterator[Any]:
    """The estimator, and what pipelines and unions in it are made of."""
    yield estimator
    for _, step in (*getattr(estimator, "steps", ()), *getattr(estimator, "transformer_list", ())):
        yield from _parts(step)


def _type(tensor: Tensor, *, column: bool) -> Any:
    kind = TYPES.get(tensor.dtype)
    if kind is None:
        raise StepFailed(f"skl2onnx takes no {tensor.dtype} ({tensor.name})")
    return kind([None, 1] if column else [None, *tensor.shape[1:]])


def _answer(graph: Any, value: Any, tensor: Tensor, inner: str) -> None:
    """Name an output as the estimator's is, and give it as many dimensions."""
    own = value.name
    for node in graph.node:
        node.input[:] = [inner if name == own else name for name in node.input]
        node.output[:] = [inner if name == own else name for name in node.output]
    if any(tensor.name in (*node.input, *node.output) for node in graph.node):
        raise StepFailed(f"skl2onnx uses the name {tensor.name!r} inside the graph")
    rank = len(value.type.tensor_type.shape.dim)
    if tensor.name == "scores" and (rank, len(tensor.shape)) == (2, 1):  # of two classes ONNX has both scores
        index = helper.make_tensor(f"{inner}_class", onnx.TensorProto.INT64, [], [1])
        graph.initializer.append(index)
        graph.node.append(helper.make_node("Gather", [inner, index.name], [tensor.name], axis=1, name=inner))
        value.name = tensor.name
        return
    sizes = [size for size in tensor.shape[1:] if isinstance(size, int)]
    if tensor.dtype == "bool":  # scikit-learn's words for two classes; skl2onnx numbers them
        graph.node.append(helper.make_node("Cast", [inner], [tensor.name], to=onnx.TensorProto.BOOL, name=inner))
        value.type.tensor_type.elem_type = onnx.TensorProto.BOOL
    elif rank == len(tensor.shape) or len(sizes) != len(tensor.shape) - 1:
        graph.node.append(helper.make_node("Identity", [inner], [tensor.name], name=inner))
    else:
        shape = helper.make_tensor(f"{inner}_shape", onnx.TensorProto.INT64, [len(tensor.shape)], [-1, *sizes])
        graph.initializer.append(shape)
        graph.node.append(helper.make_node("Reshape", [inner, shape.name], [tensor.name], name=inner))
    value.name = tensor.name


def _flat_inputs(graph: Any) -> None:
    """Columns come as [batch]; skl2onnx wants them as [batch, 1]."""
    graph.initializer.append(helper.make_tensor("column_shape", onnx.TensorProto.INT64, [2], [-1, 1]))
    nodes = []
    for value in graph.input:
        inner = f"{value.name}_column"
        for node in graph.node:
            node.input[:] = [inner if name == value.name else name for name in node.input]
        nodes.append(helper.make_node("Reshape", [value.name, "column_shape"], [inner]))
        del value.type.tensor_type.shape.dim[1:]
    kept = list(graph.node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend([*nodes, *copies])
