"""ONNX files as exporters and techniques read, count and write them. Imports onnx: in edge modules only."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import external_data_helper, numpy_helper

from cloudmodel.core import files
from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.copying import copy_file
from cloudmodel.formats.model import Signature, Tensor

MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"
MOST_INLINE = 1 << 30
"""From this many bytes of weights on they lie beside the file: protobuf ends at 2 GiB."""
SMALL = 1 << 20
"""Bytes of a weight that a converter may look at: a shape, a scale, an axis."""
QUANTIZED = frozenset(
    {
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv",
        "QLinearMatMul", "MatMulNBits", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QAttention", "QGemm",
        "DynamicQuantizeLSTM", "GatherBlockQuantized",
    }
)  # fmt: skip
"""Operators that only a quantized model has."""


@dataclass(frozen=True)
class Census:
    """What a graph consists of, its subgraphs included: nodes by operator, the weights' number and bytes, and the
    multiset of everything that matters, for telling whether two graphs are the same."""

    operators: Counter[str] = field(default_factory=Counter)
    weights: int = 0
    weight_bytes: int = 0
    opset: int = 0
    shape: str = ""

    @property
    def nodes(self) -> int:
        """All nodes."""
        return self.operators.total()

    @property
    def quantized(self) -> int:
        """Nodes that only a quantized model has."""
        return sum(count for name, count in self.operators.items() if name in QUANTIZED)


def load(path: Path, *, weights: bool = True) -> Any:
    """A ModelProto, with the weights beside it unless told otherwise. Raises StepFailed."""
    try:
        return onnx.load(str(path), load_external_data=weights)
    except Exception as error:
        raise StepFailed(f"onnx cannot read it: {' '.join(str(error).split())[:300]}", where=str(path)) from None


def load_graph(path: Path) -> Any:
    """A ModelProto that holds the graph and the weights below SMALL; larger ones that lie beside the file stay there,
    for no protobuf holds 2 GiB. Save it with `source`. Raises StepFailed."""
    model = load(path, weights=False)
    for tensor in _tensors(model.graph):
        if external_data_helper.uses_external_data(tensor) and _size(tensor) < SMALL:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return model


def save(model: Any, folder: Path, *, source: Path | None = None) -> Path:
    """Write `model.onnx` into `folder`, weights beside it from MOST_INLINE on; the same model gives the same bytes.

    Weights that are not in the model (`load_graph`) are copied as they are from the folder `source`. Notes on nodes
    (source lines, machine paths) are left out. Returns the file's path.
    """
    target = folder / MODEL
    _strip(model)
    if outside := _beside(model):
        assert source is not None, outside
        for name in outside:
            copy_file(source / name, folder / name)
        files.write_bytes(target, model.SerializeToString(deterministic=True))
    elif sum(_size(tensor) for tensor in _tensors(model.graph)) >= MOST_INLINE:
        external_data_helper.convert_model_to_external_data(model, location=WEIGHTS, convert_attribute=False)
        onnx.save_model(model, str(target))
    else:
        files.write_bytes(target, model.SerializeToString(deterministic=True))
    return target


def tidy(path: Path, ir_version: int) -> Path:
    """Leave out the notes on nodes of a file whose weights lie beside it, and are not read. Returns `path`."""
    model = load(path, weights=False)
    model.ir_version = ir_version
    _strip(model)
    files.write_bytes(path, model.SerializeToString(deterministic=True))
    return path


def declare(path: Path, signature: Signature, ir_version: int) -> Signature:
    """Write the signature's own words for open dimensions into an exported file, and an IR version of at most
    `ir_version`; the weights beside it are not read. Returns the signature with the outputs' dtypes as the file has
    them: another runtime may answer in float32 where the model's own answers in float64.

    Raises StepFailed where the file has other inputs or outputs, or fixes a dimension that the model leaves open.
    """
    model = load(path, weights=False)
    model.ir_version = min(model.ir_version, ir_version)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    renamed: dict[str, str] = {}
    for values, tensors, what in (
        (inputs, signature.inputs, "inputs"),
        (model.graph.output, signature.outputs, "outputs"),
    ):
        names, wanted = [value.name for value in values], [tensor.name for tensor in tensors]
        if names != wanted:
            raise StepFailed(f"the file has the {what} {names}, the model {wanted}")
        for value, tensor in zip(values, tensors, strict=True):
            renamed |= _declare(value, tensor, given=what == "inputs")
    for value in model.graph.value_info:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in renamed:
                dimension.dim_param = renamed[dimension.dim_param]
        files.write_bytes(path, model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))  # by its path: weights beside it are looked for there
    typed = [
        tensor.model_copy(update={"dtype": _dtype(value)})
        for value, tensor in zip(model.graph.output, signature.outputs, strict=True)
    ]
    return signature.model_copy(update={"outputs": tuple(typed)})


def census(path: Path) -> Census:
    """Count a file's graph; the weights themselves are not read."""
    model = load(path, weights=False)
    operators: Counter[str] = Counter()
    lines = []
    for node in nodes(model.graph):
        operators[node.op_type] += 1
        attributes = sorted(
            hashlib.sha256(each.SerializeToString(deterministic=True)).hexdigest() for each in node.attribute
        )
        lines.append(f"{node.domain} {node.op_type} {len(node.input)} {len(node.output)} {attributes}")
    tensors = list(_tensors(model.graph))
    lines += [f"{tensor.data_type} {list(tensor.dims)}" for tensor in tensors]
    versions = {each.domain: each.version for each in model.opset_import}
    lines += [f"{domain or 'ai.onnx'} {version}" for domain, version in versions.items() if domain in ("", "ai.onnx")]
    return Census(
        operators=operators,
        weights=len(tensors),
        weight_bytes=sum(_size(tensor) for tensor in tensors),
        opset=versions.get("", versions.get("ai.onnx", 0)),
        shape=hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
    )


def size_of(path: Path) -> int:
    """Bytes of a model file and of the weights beside it."""
    beside = _beside(load(path, weights=False))
    return int(path.stat().st_size + sum((path.parent / name).stat().st_size for name in beside))


def digest_of(path: Path) -> str:
    """The hex sha256 over a model file and the weights beside it."""
    beside = _beside(load(path, weights=False))
    parts = [files.sha256(path), *(files.sha256(path.parent / name) for name in beside)]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def nodes(graph: Any) -> Iterator[Any]:
    """Every node of a graph and of the graphs inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from nodes(inner)


def constants(graph: Any) -> set[str]:
    """The names of the tensors whose values are in the graph: initializers and the outputs of Constant nodes."""
    return {tensor.name for tensor in graph.initializer} | {
        name for node in graph.node if node.op_type == "Constant" for name in node.output
    }


def lift_constants(model: Any) -> int:
    """Turn Constant nodes that hold tensors into initializers, where the quantizers look for weights; returns how
    many."""
    kept, lifted = [], 0
    for node in model.graph.node:
        value = next((each for each in node.attribute if each.name == "value"), None)
        if node.op_type != "Constant" or value is None:
            kept.append(node)
            continue
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value.t)
        tensor.name = node.output[0]
        model.graph.initializer.append(tensor)
        lifted += 1
    if lifted:
        put_nodes(model.graph, kept)
    return lifted


def put_nodes(graph: Any, wanted: Iterable[Any]) -> None:
    """Make the `wanted` nodes the graph's, in their order; some of them may be its own already."""
    copies = [_copy(node) for node in wanted]
    del graph.node[:]
    graph.node.extend(copies)


def name_nodes(model: Any) -> None:
    """Give every node without a name, or with one that another has, a name of its own: operator and place."""
    taken: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{place}"
        while node.name in taken:
            node.name += "_"
        taken.add(node.name)


def array_of(tensor: Any) -> Any:
    """An initializer's values as a numpy array."""
    return numpy_helper.to_array(tensor)


def _declare(value: Any, tensor: Tensor, *, given: bool) -> dict[str, str]:
    """Give a value the tensor's shape; returns the words that the file had for the open sizes of an input."""
    form = value.type.tensor_type
    renamed: dict[str, str] = {}
    if given and _dtype(value) != tensor.dtype:
        raise StepFailed(f"input {tensor.name!r} of the file is {_dtype(value)}, not {tensor.dtype}")
    if given and form.HasField("shape"):
        for dimension, size in zip(form.shape.dim, tensor.shape, strict=True):
            if isinstance(size, str) and dimension.HasField("dim_value"):
                raise StepFailed(f"the exporter fixed {size!r} of input {tensor.name!r} to {dimension.dim_value}")
            if isinstance(size, str) and dimension.dim_param:
                renamed[dimension.dim_param] = size
    del form.shape.dim[:]
    for size in tensor.shape:
        dimension = form.shape.dim.add()
        if isinstance(size, str):
            dimension.dim_param = size
        else:
            dimension.dim_value = size
    return renamed


def _dtype(value: Any) -> str:
    number = value.type.tensor_type.elem_type
    return "str" if number == onnx.TensorProto.STRING else str(onnx.helper.tensor_dtype_to_np_dtype(number))


def _copy(node: Any) -> Any:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _strip(model: Any) -> None:
    model.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for node in nodes(model.graph):
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]


def _beside(model: Any) -> list[str]:
    """The names of the files that hold weights, sorted."""
    tensors = (each for each in _tensors(model.graph) if external_data_helper.uses_external_data(each))
    return sorted({entry.value for each in tensors for entry in each.external_data if entry.key == "location"})


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == 4:
                yield attribute.t
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from _tensors(inner)


def _size(tensor: Any) -> int:
    bits = {21: 4, 22: 4, 23: 4}.get(tensor.data_type)  # uint4, int4, float4
    if bits is None:
        if tensor.data_type == onnx.TensorProto.STRING:
            return sum(len(each) for each in tensor.string_data)
        bits = 8 * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return (math.prod(int(size) for size in tensor.dims) * bits + 7) // 8
