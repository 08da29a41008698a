"""Small models and data for the tests of `optimize`, all made from seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper

from onnx_models import save, value, weight

Array = NDArray[Any]
RANDOM_SEED = 11


def mlp(path: Path, *, constants: bool = False, width: int = 64, names: bool = True, hurt: bool = False) -> Path:
    """x float32 [batch, 16] → logits float32 [batch, 4]: two MatMul with biases. With `constants` the weights are
    Constant nodes; without `names` no node has a name; with `hurt` one inner channel is 256 times the others."""
    random = np.random.default_rng(RANDOM_SEED)
    arrays = {
        "w1": random.normal(0, 0.3, (16, width)), "b1": random.normal(0, 0.1, (width,)),
        "w2": random.normal(0, 0.3, (width, 4)), "b2": random.normal(0, 0.1, (4,)),
    }  # fmt: skip
    if hurt:
        arrays["w1"][:, 0] *= 256
        arrays["w2"][0] /= 256
    tensors = [weight(name, array.astype(np.float32)) for name, array in arrays.items()]
    called = {name: name if names else None for name in ("first", "add1", "relu", "second", "add2")}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m1"], name=called["first"]),
        helper.make_node("Add", ["m1", "b1"], ["a1"], name=called["add1"]),
        helper.make_node("Relu", ["a1"], ["r1"], name=called["relu"]),
        helper.make_node("MatMul", ["r1", "w2"], ["m2"], name=called["second"]),
        helper.make_node("Add", ["m2", "b2"], ["logits"], name=called["add2"]),
    ]
    if constants:
        nodes = [helper.make_node("Constant", [], [each.name], value=each) for each in tensors] + nodes
    io = ([value("x", T.FLOAT, ["batch", 16])], [value("logits", T.FLOAT, ["batch", 4])])
    return save(path, nodes, *io, [] if constants else tensors)


def convolutions(path: Path, *, hurt: bool = False) -> Path:
    """image float32 [batch, 3, 16, 16] → logits float32 [batch, 4]: two convolutions, a mean, a Gemm; with two nodes
    that do nothing. With `hurt` one channel of the first convolution's output is a thousand times the others."""
    random = np.random.default_rng(RANDOM_SEED)
    first = random.normal(0, 0.2, (32, 3, 3, 3))
    second = random.normal(0, 0.08, (32, 32, 3, 3))
    if hurt:
        first[0] *= 1000
        second[:, 0] /= 1000
    tensors = [
        weight("c1", first.astype(np.float32)), weight("c2", second.astype(np.float32)),
        weight("g", random.normal(0, 0.2, (32, 4)).astype(np.float32)), weight("zero", np.zeros((1,), np.float32)),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Identity", ["image"], ["same"], name="nothing"),
        helper.make_node("Conv", ["same", "c1"], ["y1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "c2"], ["y2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y2"], ["r2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "g"], ["l"], name="gemm"),
        helper.make_node("Add", ["l", "zero"], ["logits"], name="plus_nothing"),
    ]
    io = ([value("image", T.FLOAT, ["batch", 3, 16, 16])], [value("logits", T.FLOAT, ["batch", 4])])
    return save(path, nodes, *io, tensors)


def rows(count: int, shape: tuple[int, ...], seed: int = 1) -> Array:
    """Normal float32 rows."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def answers(path: Path, inputs: Array) -> Array:
    """What plain onnxruntime answers, with its default options."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return found


def with_attention(path: Path) -> Path:
    """x float32 [batch, 8, 32] → y of the same shape: LayerNormalization after a residual sum, as BERT has it, and a
    softmax between two MatMul of activations."""
    random = np.random.default_rng(RANDOM_SEED)
    tensors = [weight(name, random.normal(0, 0.2, (32, 32)).astype(np.float32)) for name in ("q", "k", "v", "o")]
    tensors += [weight("scale", np.ones(32, np.float32)), weight("bias", np.zeros(32, np.float32))]
    nodes = [
        helper.make_node("MatMul", ["x", "q"], ["xq"], name="q_proj"),
        helper.make_node("MatMul", ["x", "k"], ["xk"], name="k_proj"),
        helper.make_node("MatMul", ["x", "v"], ["xv"], name="v_proj"),
        helper.make_node("Transpose", ["xk"], ["kt"], perm=[0, 2, 1], name="turn"),
        helper.make_node("MatMul", ["xq", "kt"], ["scores"], name="scores_of"),
        helper.make_node("Softmax", ["scores"], ["p"], axis=-1, name="softmax"),
        helper.make_node("MatMul", ["p", "xv"], ["c"], name="context"),
        helper.make_node("MatMul", ["c", "o"], ["co"], name="out_proj"),
        helper.make_node("Add", ["x", "co"], ["sum"], name="residual"),
        helper.make_node("LayerNormalization", ["sum", "scale", "bias"], ["y"], name="norm", axis=-1),
    ]
    io = ([value("x", T.FLOAT, ["batch", 8, 32])], [value("y", T.FLOAT, ["batch", 8, 32])])
    return save(path, nodes, *io, tensors)


def opset_of(path: Path) -> int:
    """The declared operator set of a file."""
    return int(next(each.version for each in onnx.load(path).opset_import if each.domain == ""))


def two_tower(path: Path) -> Path:
    """user int64 [batch], item int64 [batch] → rating float32 [batch]: two embeddings of 64, a layer each, a product.
    The shape of a recommender of 943 users and 1,682 items, with weights from a seed."""
    random = np.random.default_rng(RANDOM_SEED)
    sizes = {"user": 943, "item": 1682}
    tensors, nodes = [weight("axis", np.array([1]))], []
    for name, count in sizes.items():
        tensors.append(weight(f"{name}_table", random.normal(0, 1, (count, 64)).astype(np.float32)))
        tensors.append(weight(f"{name}_layer", random.normal(0, 0.1, (64, 64)).astype(np.float32)))
        nodes += [
            helper.make_node("Gather", [f"{name}_table", name], [f"{name}_vector"], name=f"{name}_gather"),
            helper.make_node("MatMul", [f"{name}_vector", f"{name}_layer"], [f"{name}_out"], name=f"{name}_matmul"),
            helper.make_node("Relu", [f"{name}_out"], [f"{name}_relu"], name=f"{name}_relu_node"),
        ]
    nodes += [
        helper.make_node("Mul", ["user_relu", "item_relu"], ["products"], name="multiply"),
        helper.make_node("ReduceSum", ["products", "axis"], ["rating"], name="sum", keepdims=0),
    ]
    inputs = [value(name, T.INT64, ["batch"]) for name in sizes]
    return save(path, nodes, inputs, [value("rating", T.FLOAT, ["batch"])], tensors)
