"""Kernels cut to what meets the input: the answers stay, and nothing else is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper

import optimize_parts as parts
from cloudmodel.formats import onnx as formats
from cloudmodel.formats import onnx_files
from cloudmodel.formats.model import Signature
from cloudmodel.optimize import space
from cloudmodel.optimize.graph.padding import Axis, TrimPadding
from cloudmodel.optimize.technique import Artifact, Material
from onnx_models import save, value, weight

small = st.integers(1, 6)
axes = st.builds(
    Axis, length=small, taps=small, stride=st.integers(1, 4), dilation=st.integers(1, 3), before=st.integers(0, 6),
    after=st.integers(0, 6),
).filter(lambda axis: axis.outputs > 0)  # fmt: skip


def convolved(path: Path, shape: tuple[Any, ...], kernel: tuple[int, ...], **attributes: Any) -> Path:
    """image float32 → two convolutions of one weight, added."""
    random = np.random.default_rng(3)
    tensors = [weight("w", random.normal(size=kernel).astype(np.float32))]
    nodes = [helper.make_node("Conv", ["image", "w"], [name], name=name, **attributes) for name in ("left", "right")]
    nodes.append(helper.make_node("Add", ["left", "right"], ["sum"]))
    out = ["batch", kernel[0], *[None] * (len(shape) - 2)]
    return save(path, nodes, [value("image", T.FLOAT, list(shape))], [value("sum", T.FLOAT, out)], tensors)


def trimmed(model: Path, folder: Path) -> Path | None:
    """The model with its kernels cut, or None where there is nothing to cut."""
    before, material, technique = Artifact(model), Material(formats.signature(model)), TrimPadding()
    if technique.inapplicable(before, material, None) is not None:
        return None
    folder.mkdir()
    after = technique.apply(before, material, None, folder)
    counts = technique.prove(before, after).counts
    assert counts["weight_bytes_after"] < counts["weight_bytes_before"]
    onnx.checker.check_model(str(after.model), full_check=True)
    return after.model


@given(axis=axes, seed=st.integers(0, 9))
def test_what_is_cut_never_met_the_input(axis: Axis, seed: int) -> None:
    def convolve(axis: Axis, weights: Any) -> list[float]:
        padded = np.pad(values, (axis.before, axis.after))
        reach = [tap * axis.dilation for tap in range(axis.taps)]
        return [float(padded[[place * axis.stride + each for each in reach]] @ weights)
                for place in range(axis.outputs)]  # fmt: skip

    random = np.random.default_rng(seed)
    values, weights = random.normal(size=axis.length), random.normal(size=axis.taps)
    cut = axis.cut()
    first, end = axis.kept()
    assert (cut.outputs, cut.taps) == (axis.outputs, end - first)
    np.testing.assert_allclose(convolve(cut, weights[first:end]), convolve(axis, weights))


@pytest.mark.parametrize(
    ("shape", "kernel", "attributes", "left"),
    [
        ((1, 1), (3, 3), {"pads": [1, 1, 1, 1]}, (1, 1)),
        ((2, 2), (3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, (2, 2)),
        ((2, 7), (5, 5), {"pads": [2, 2, 2, 2]}, (3, 5)),
        ((2, 2), (3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, (1, 1)),
        ((1, 1), (3, 3), {"auto_pad": "SAME_UPPER"}, (1, 1)),
        ((2, 2), (4, 4), {"auto_pad": "SAME_LOWER"}, (3, 3)),
        ((3,), (7,), {"pads": [3, 3]}, (5,)),
        ((1, 2, 2), (3, 3, 3), {"pads": [1] * 6}, (1, 3, 3)),
    ],
)
@pytest.mark.parametrize("groups", [1, 4])
def test_onnxruntime_answers_the_same(
    tmp_path: Path, shape: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any], left: tuple[int, ...],
    groups: int,
) -> None:  # fmt: skip
    model = convolved(tmp_path / "m.onnx", ("batch", 4, *shape), (8, 4 // groups, *kernel), group=groups, **attributes)
    found = trimmed(model, tmp_path / "cut")
    assert found is not None
    (weights,) = onnx.load(found).graph.initializer
    assert tuple(weights.dims) == (8, 4 // groups, *left)
    image = parts.rows(5, (4, *shape))
    np.testing.assert_allclose(parts.answers(found, image), parts.answers(model, image), rtol=1e-5, atol=1e-5)
    assert trimmed(found, tmp_path / "again") is None


@pytest.mark.parametrize(
    ("shape", "kernel", "attributes"),
    [
        (("batch", 4, 3, 3), (8, 4, 3, 3), {"pads": [1, 1, 1, 1]}),  # the middle output meets every tap
        (("batch", 4, 1, 1), (8, 4, 1, 1), {}),
        (("batch", 4, "height", "width"), (8, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
        (("batch", 4, 9, 9), (8, 4, 3, 3), {"auto_pad": "VALID"}),
        (("batch", 4, 8, 8), (8, 4, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),  # a stride leaves a row over
        (("batch", 4, 224, 224), (8, 4, 7, 7), {"pads": [3, 3, 3, 3], "strides": [2, 2]}),
        (("batch", 4, 1, 5), (8, 4, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [1, 5]}),  # it leaps over the kernel
    ],
)
def test_there_is_nothing_to_cut(
    tmp_path: Path, shape: tuple[Any, ...], kernel: tuple[int, ...], attributes: Any
) -> None:
    assert trimmed(convolved(tmp_path / "m.onnx", shape, kernel, **attributes), tmp_path / "cut") is None


def small_maps(path: Path, change: Callable[[Any], object]) -> Path:
    """A net whose kernels can be cut, after `change` of its graph."""
    convolved(path, ("batch", 4, 1, 1), (8, 4, 3, 3), pads=[1, 1, 1, 1])
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    return path


def overridable(graph: Any) -> None:
    graph.input.append(value("w", T.FLOAT, [8, 4, 3, 3]))


def told(graph: Any) -> None:
    """The weight is an output, too."""
    graph.output.append(value("w", T.FLOAT, [8, 4, 3, 3]))


def used_elsewhere(graph: Any) -> None:
    graph.node.append(helper.make_node("ReduceMean", ["w"], ["mean"], keepdims=0))
    graph.output.append(value("mean", T.FLOAT, []))


def used_on_a_large_map(graph: Any) -> None:
    graph.input.append(value("large", T.FLOAT, ["batch", 4, 9, 9]))
    graph.node.append(helper.make_node("Conv", ["large", "w"], ["more"], pads=[1, 1, 1, 1]))
    graph.output.append(value("more", T.FLOAT, ["batch", 8, 9, 9]))


def of_another_size(graph: Any) -> None:
    """The input is open; what the file says of the tensor between is only true of some."""
    graph.input[0].CopyFrom(value("image", T.FLOAT, ["batch", 4, "height", "width"]))
    graph.node.insert(0, helper.make_node("Relu", ["image"], ["same"]))
    for node in graph.node[1:3]:
        node.input[0] = "same"
    graph.value_info.append(value("same", T.FLOAT, ["batch", 4, 1, 1]))
    graph.output[0].CopyFrom(value("sum", T.FLOAT, ["batch", 8, "height", "width"]))


def no_strides(graph: Any) -> None:
    for node in graph.node[:2]:
        node.attribute.append(helper.make_attribute("strides", [0, 0]))


@pytest.mark.parametrize(
    "change", [overridable, told, used_elsewhere, used_on_a_large_map, of_another_size, no_strides]
)
def test_what_is_not_sure_is_not_cut(tmp_path: Path, change: Callable[[Any], object]) -> None:
    path = small_maps(tmp_path / "m.onnx", change)
    assert TrimPadding().inapplicable(Artifact(path), Material(Signature(inputs=(), outputs=())), None) is not None


def test_the_file_says_no_more_what_the_weight_was(tmp_path: Path) -> None:
    """PyTorch's exporter writes the shapes of weights down once more, and whoever infers shapes refuses another."""
    path = small_maps(tmp_path / "m.onnx", lambda graph: graph.value_info.append(value("w", T.FLOAT, [8, 4, 3, 3])))
    found = trimmed(path, tmp_path / "cut")
    assert found is not None
    onnx.shape_inference.infer_shapes(onnx.load(found), check_type=True, strict_mode=True, data_prop=True)


def test_weights_of_constant_nodes_are_cut_too(tmp_path: Path) -> None:
    def constant(graph: Any) -> None:
        (tensor,) = graph.initializer
        graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
        del graph.initializer[:]

    path = small_maps(tmp_path / "m.onnx", constant)
    found = trimmed(path, tmp_path / "cut")
    assert found is not None
    image = parts.rows(3, (4, 1, 1))
    np.testing.assert_allclose(parts.answers(found, image), parts.answers(path, image), rtol=1e-5, atol=1e-5)


def test_a_net_with_small_maps_is_trimmed_before_it_is_quantized(tmp_path: Path) -> None:
    census = onnx_files.census(parts.convolutions(tmp_path / "m.onnx"))
    int8 = {"activations": "uint8", "weights": "int8", "reduce_range": False}
    plain, cut = (space.after_training(census, ("graph", "quantize"), int8, trims=each) for each in (False, True))
    assert all(each.steps[0].technique != "trim-padding" for each in plain)
    quantized = [each.steps for each in plain if each.steps[0].technique.endswith("int8")]
    assert [each.steps[1:] for each in cut if len(each.steps) == 2] == quantized
    assert next(each.title for each in cut if len(each.steps) == 1) == "trim-padding"
