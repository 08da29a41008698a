"""Small real ONNX models, built with onnx's own helper."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[Any] = (),
    **options: Any,
) -> Path:
    """Write a model of these parts; returns `path`."""
    domains = options.pop("domains", {})
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(weights))
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(name, 1) for name in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="tests")
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path), **options)
    return path


def value(name: str, kind: int, shape: Sequence[int | str | None] | None) -> Any:
    """A declared input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, array: Any) -> Any:
    """An initializer with raw data."""
    return numpy_helper.from_array(np.asarray(array), name)


def linear(path: Path, *, matrix: Any = None, **options: Any) -> Path:
    """x float32 [batch, 4] → y float32 [batch, 3]."""
    weights = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 if matrix is None else matrix
    return save(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["batch", 4])],
        [value("y", T.FLOAT, ["batch", weights.shape[1]])],
        [weight("w", weights)],
        **options,
    )


def text(path: Path) -> Path:
    """ids, mask int64 [batch, tokens] → logits float32 [batch, 3], pooled float32 [batch, 5]; 50 known ids."""
    random = np.random.default_rng(1)
    return save(
        path,
        [
            helper.make_node("Gather", ["table", "ids"], ["vectors"]),
            helper.make_node("Cast", ["mask"], ["float_mask"], to=T.FLOAT),
            helper.make_node("Unsqueeze", ["float_mask", "last"], ["wide_mask"]),
            helper.make_node("Mul", ["vectors", "wide_mask"], ["masked"]),
            helper.make_node("ReduceMean", ["masked"], ["pooled"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["pooled", "head"], ["logits"]),
        ],
        [value("ids", T.INT64, ["batch", "tokens"]), value("mask", T.INT64, ["batch", "tokens"])],
        [value("logits", T.FLOAT, ["batch", 3]), value("pooled", T.FLOAT, ["batch", 5])],
        [
            weight("table", random.standard_normal((50, 5)).astype(np.float32)),
            weight("head", random.standard_normal((5, 3)).astype(np.float32)),
            weight("last", np.array([2])),
        ],
    )


KINDS = {
    "f": (T.FLOAT, "float32"),
    "d": (T.DOUBLE, "float64"),
    "h": (T.FLOAT16, "float16"),
    "i": (T.INT64, "int64"),
    "u": (T.UINT8, "uint8"),
    "b": (T.BOOL, "bool"),
    "s": (T.STRING, "str"),
}


def echo(path: Path, kinds: str = "fibs", shape: Sequence[int | str] = ("batch", 2)) -> Path:
    """One input and one output (`<kind>_out`) of every kind, unchanged."""
    return save(
        path,
        [helper.make_node("Identity", [kind], [f"{kind}_out"]) for kind in kinds],
        [value(kind, KINDS[kind][0], shape) for kind in kinds],
        [value(f"{kind}_out", KINDS[kind][0], shape) for kind in kinds],
    )


def external(folder: Path, location: str = "weights.bin", rows: int = 256) -> Path:
    """A linear model whose weights lie in a file beside it."""
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    matrix = np.random.default_rng(2).standard_normal((4, rows)).astype(np.float32)
    return linear(
        folder / "big.onnx",
        matrix=matrix,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=0,
    )


def oldest(path: Path) -> Path:
    """Make a model one of the oldest operator set and file version that onnxruntime reads; its weights stay."""
    model = onnx.load(str(path), load_external_data=False)
    model.opset_import[0].version = 7
    model.ir_version = 3
    for tensor in model.graph.initializer:  # IR 3 lists them among the inputs
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    path.write_bytes(model.SerializeToString())
    return path


def tables(folder: Path, *, tables: int, rows: int, write: Callable[[Path, int], None] | None = None) -> Path:
    """ids int64 [batch] → y float32 [batch, 64]: the sum of a row of each table, every one in a file of its own beside
    `model.onnx`. `write` makes a file of so many bytes; without it they are all but one number zeros, and take no
    room."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, nodes = [], []
    for number in range(tables):
        location = f"table-{number:05}-of-{tables:05}.bin"
        (write or _sparse)(folder / location, rows * 64 * 4)
        table = onnx.TensorProto(
            name=f"t{number}", data_type=T.FLOAT, dims=[rows, 64], data_location=onnx.TensorProto.EXTERNAL
        )
        table.external_data.add(key="location", value=location)
        table.external_data.add(key="length", value=str(rows * 64 * 4))
        weights.append(table)
        nodes.append(helper.make_node("Gather", [f"t{number}", "ids"], [f"g{number}"]))
    nodes.append(helper.make_node("Sum", [f"g{number}" for number in range(tables)], ["y"]))
    return save(
        folder / "model.onnx", nodes, [value("ids", T.INT64, ["batch"])], [value("y", T.FLOAT, ["batch", 64])], weights
    )


def _sparse(path: Path, size: int) -> None:
    path.write_bytes(path.name[8:12].encode())
    os.truncate(path, size)
