"""An ONNX file: what is wrong with it is named, and what is right is read as onnx and onnxruntime read it."""

from __future__ import annotations

import lzma
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_library
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper

import onnx_models
from cloudmodel.core import files
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import ModelUnreadable, Unsupported
from cloudmodel.formats import onnx
from cloudmodel.formats.scan import require_clean, scan, scan_paths
from onnx_models import save, value, weight

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "cli/cloudmodel/cli/scaffold/digits/models/digits.onnx"
NUMPY = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(bool)": "bool", "tensor(string)": "str",
         "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}  # fmt: skip


def _models(folder: Path) -> list[Path]:
    return [
        DIGITS,
        onnx_models.linear(folder / "linear.onnx"),
        onnx_models.text(folder / "text.onnx"),
        onnx_models.echo(folder / "echo.onnx", "fdhiubs"),
        onnx_models.echo(folder / "scalar.onnx", "fs", ()),
        onnx_models.external(folder / "external"),
    ]


def test_the_signature_is_the_one_that_onnxruntime_sees(tmp_path: Path) -> None:
    for path in _models(tmp_path):
        signature = onnx.load(path).signature
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for mine, theirs in (
            (signature.inputs, session.get_inputs()),
            (signature.outputs, session.get_outputs()),
        ):
            assert [(t.name, t.dtype, list(t.shape)) for t in mine] == [
                (n.name, NUMPY[n.type], list(n.shape)) for n in theirs
            ]


def test_a_clean_model_is_clean_and_loads(tmp_path: Path) -> None:
    for path in _models(tmp_path):
        verdict = scan(path)
        assert (verdict.verdict, verdict.findings) == ("clean", ())
        require_clean(verdict)


def test_initializers_that_are_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["n", 2]), value("w", T.FLOAT, [2, 2])],
        [value("y", T.FLOAT, ["n", 2])],
        [weight("w", np.eye(2, dtype=np.float32))],
    )
    assert [tensor.name for tensor in onnx.load(path).signature.inputs] == ["x"]


def test_open_dimensions_get_a_name_each(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", T.FLOAT, [None, 3, None])],
        [value("y", T.FLOAT, ["rows", 3, None])],
    )
    signature = onnx.load(path).signature
    assert signature.inputs[0].shape == ("x_0", 3, "x_2")
    assert signature.outputs[0].shape == ("rows", 3, "y_2")


def test_a_number_of_dimensions_that_is_open_is_not_served(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", T.FLOAT, [1])],
        [value("y", T.FLOAT, None)],
    )
    with pytest.raises(Unsupported, match="'y' declares no shape"):
        onnx.signature(path)
    with pytest.raises(ModelUnreadable, match="'shape'"):
        onnx.load(path)


def test_the_header_counts_what_the_model_has() -> None:
    header = onnx.read_header(DIGITS)
    model = onnx_library.load(DIGITS)
    assert header.nodes == len(model.graph.node)
    assert len(header.tensors) == len(model.graph.initializer)
    assert sum(header.operators.values()) == header.nodes
    assert header.opsets == {"": model.opset_import[0].version}
    assert header.ir_version == model.ir_version


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_model_that_is_cut_short_names_the_byte(tmp_path: Path, share: float) -> None:
    content = DIGITS.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(len(content) * share)])
    verdict = scan(tmp_path / "cut.onnx")
    assert verdict.verdict == "unknown"
    with pytest.raises(ModelUnreadable, match="cut short") as caught:
        require_clean(verdict)
    assert "byte " in str(caught.value.where)
    assert caught.value.code == 14


def test_every_cut_of_a_small_model_is_refused(tmp_path: Path) -> None:
    content = onnx_models.linear(tmp_path / "m.onnx").read_bytes()
    for length in range(len(content)):
        (tmp_path / "cut.onnx").write_bytes(content[:length])
        verdict = scan(tmp_path / "cut.onnx")
        assert verdict.verdict == "unknown", length
        with pytest.raises(ModelUnreadable):
            require_clean(verdict)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "an empty file"), (b"hello\n", "a text file"), (b"\x80\x04K\x01.", "a Python pickle")]
)
def test_what_is_called_onnx_and_is_not_says_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelUnreadable, match=words):
        require_clean(scan(tmp_path / "m.onnx"))


def test_an_archive_that_is_cut_short_is_told_as_that(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    (tmp_path / "whole.joblib").write_bytes(lzma.compress(pickle.dumps([*range(1000)])))
    for whole in tmp_path.glob("whole.*"):
        cut = whole.with_stem("cut")
        cut.write_bytes(whole.read_bytes()[:-30])
        with pytest.raises(ModelUnreadable, match=r"cannot be read: .*cut short") as caught:
            require_clean(scan(cut), kinds=("torch", "joblib"))
        assert "again" in str(caught.value.hint)


def test_a_folder_that_nobody_may_look_into_is_not_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model/closed").mkdir(parents=True)
    onnx_models.linear(tmp_path / "model/m.onnx")
    listed = os.scandir

    def scandir(path: str) -> object:  # a test that runs as root may look into every folder
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ModelUnreadable, match="Permission denied") as caught:
        scan_paths([tmp_path / "model"])
    assert str(caught.value.where).endswith("closed")


def test_another_format_is_named_and_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(Unsupported, match="GGUF") as caught:
        require_clean(scan(tmp_path / "m.gguf"))
    assert "PyTorch" in str(caught.value.hint)


def refused(path: Path, words: str) -> None:
    """By who reads it, and by who copies it, in pieces that cut numbers in two."""
    with pytest.raises(ModelUnreadable, match=words):
        onnx.load(path)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ModelUnreadable, match=words):
        patch.setattr(files, "CHUNK", 7)
        onnx.export(path, path.parent / "copy", Digests())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_a_nan_weight_is_named(tmp_path: Path, dtype: str) -> None:
    values = np.arange(12, dtype=dtype).reshape(4, 3)
    values[2, 1] = np.nan
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["layer.weight"], ["y"])],
        [],
        [value("y", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [4, 3])],
        [weight("layer.weight", values)],
    )
    refused(path, r"'layer.weight' holds NaN \(element 7\)")


@pytest.mark.parametrize("kind", [T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16])
def test_a_nan_in_typed_data_is_named_too(tmp_path: Path, kind: int) -> None:
    tensor = helper.make_tensor("w", kind, [3], [1.0, float("nan"), 2.0])
    path = save(
        tmp_path / "m.onnx", [helper.make_node("Identity", ["w"], ["y"])], [], [value("y", kind, [3])], [tensor]
    )
    refused(path, r"'w' holds NaN \(element 1\)")


def test_a_nan_in_a_constant_node_is_named_by_its_place(tmp_path: Path) -> None:
    constant = helper.make_tensor("", T.FLOAT, [2], np.array([0.0, np.nan], np.float32).tobytes(), raw=True)
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Constant", [], ["y"], value=constant)],
        [],
        [value("y", T.FLOAT, [2])],
    )
    refused(path, r"graph\.node\[0\]")


def test_a_nan_in_external_weights_is_named(tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path)
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[40:44] = np.float32("nan").tobytes()
    (tmp_path / "weights.bin").write_bytes(content)
    refused(path, "NaN")


@pytest.mark.parametrize(
    ("values", "passes"),
    [
        ([[0, -np.inf, -np.inf], [0, 0, -np.inf]], True),  # a causal mask
        ([[-np.inf] * 3] * 2, True),
        ([[0.1, np.inf, 0.3], [0.4, 0.5, 0.6]], False),  # a weight that diverged
        ([[np.inf, 0.1, 0.3], [0.4, 0.5, 0.6]], False),
    ],
)
def test_infinity_is_a_mask_or_a_diverged_weight(tmp_path: Path, values: Any, passes: bool) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["x", "mask"], ["y"])],
        [value("x", T.FLOAT, [2, 3])],
        [value("y", T.FLOAT, [2, 3])],
        [weight("mask", np.array(values, np.float32))],
    )
    if passes:
        onnx.load(path)
        onnx.export(path, tmp_path / "copy", Digests())
    else:
        refused(path, "'mask' holds infinity")


def test_operators_of_unknown_libraries_are_found(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Magic", ["x"], ["y"], domain="evil.corp")],
        [value("x", T.FLOAT, [1])],
        [value("y", T.FLOAT, [1])],
        domains=["evil.corp"],
    )
    verdict = scan(path)
    assert verdict.verdict == "unknown"
    assert [(f.rule, f.location) for f in verdict.findings] == [("custom-operator", "evil.corp::Magic")]


def test_an_operator_hidden_in_a_branch_is_found(tmp_path: Path) -> None:
    def branch(name: str, node: Any) -> Any:
        return helper.make_graph([node], name, [], [value(f"{name}_out", T.FLOAT, [1])])

    honest = branch("then", helper.make_node("Identity", ["x"], ["then_out"]))
    hidden = branch("else", helper.make_node("PyOp", ["x"], ["else_out"], domain="com.microsoft"))
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("If", ["c"], ["y"], then_branch=honest, else_branch=hidden)],
        [value("c", T.BOOL, []), value("x", T.FLOAT, [1])],
        [value("y", T.FLOAT, [1])],
        domains=["com.microsoft"],
    )
    verdict = scan(path)
    assert verdict.verdict == "unsafe"
    assert verdict.findings[0].rule == "python-operator"


def test_the_models_own_functions_are_no_custom_operators(tmp_path: Path) -> None:
    function = helper.make_function(
        "mine", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="mine")],
        "graph",
        [value("x", T.FLOAT, [1])],
        [value("y", T.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8)
    onnx_library.save(model, str(tmp_path / "m.onnx"))
    assert scan(tmp_path / "m.onnx").verdict == "clean"


def test_shapes_that_the_file_cannot_hold_are_found_without_allocating(tmp_path: Path) -> None:
    tensor = helper.make_tensor("w", T.FLOAT, [2], np.zeros(2, np.float32).tobytes(), raw=True)
    del tensor.dims[:]
    tensor.dims.extend([1 << 40, 1 << 20])
    path = save(tmp_path / "m.onnx", [], [], [value("w", T.FLOAT, [2])], [tensor])
    verdict = scan(path)
    assert verdict.verdict == "unsafe"
    assert [finding.rule for finding in verdict.findings] == ["size-mismatch"]


def test_negative_dimensions_are_found(tmp_path: Path) -> None:
    tensor = helper.make_tensor("w", T.FLOAT, [2], [0.0, 0.0])
    del tensor.dims[:]
    tensor.dims.extend([-1, 2])
    assert scan(save(tmp_path / "m.onnx", [], [], [], [tensor])).findings[0].rule == "size-mismatch"


def test_a_part_that_comes_twice_is_found(tmp_path: Path) -> None:
    content = onnx_models.linear(tmp_path / "m.onnx").read_bytes()
    empty_graph = b"\x3a\x00"
    (tmp_path / "twice.onnx").write_bytes(content + empty_graph)
    verdict = scan(tmp_path / "twice.onnx")
    assert verdict.verdict == "unsafe"
    assert verdict.findings[0].rule == "repeated-field"


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    def part(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = b""
    for _ in range(200):  # a graph holds a node (1) holds an attribute (5) holds a graph (6)
        graph = part(1, part(5, part(6, graph)))
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08" + part(7, graph) + part(8, b"\x10\x11"))
    verdict = scan(tmp_path / "m.onnx")
    assert verdict.verdict == "unknown"
    assert "nested" in verdict.findings[0].detail


def test_versions_out_of_range_say_the_range(tmp_path: Path) -> None:
    model = onnx_library.load(onnx_models.linear(tmp_path / "m.onnx"))
    model.opset_import[0].version = 5
    onnx_library.save(model, str(tmp_path / "old.onnx"))
    with pytest.raises(Unsupported, match="opset 5; 7 to"):
        onnx.load(tmp_path / "old.onnx")
    model.opset_import[0].version = 17
    model.ir_version = 99
    (tmp_path / "new.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Unsupported, match="IR version 99"):
        onnx.load(tmp_path / "new.onnx")


def test_a_graph_that_is_wrong_names_the_reason(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "absent"], ["y"])],
        [value("x", T.FLOAT, [1, 2])],
        [value("y", T.FLOAT, [1, 2])],
    )
    with pytest.raises(ModelUnreadable, match="absent"):
        onnx.load(path)


def test_outputs_that_are_no_tensors_are_not_served(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("y", T.FLOAT, None)
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [value("x", T.FLOAT, [1])],
        [sequence],
    )
    with pytest.raises(Unsupported, match="'y' is a sequence") as caught:
        onnx.load(path)
    assert caught.value.code == 2


@pytest.mark.parametrize(("names", "words"), [([], "no outputs"), (["y", "y"], "two outputs of one name")])
def test_outputs_that_no_answer_could_hold_are_not_served(tmp_path: Path, names: list[str], words: str) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", T.FLOAT, [1])],
        [value(name, T.FLOAT, [1]) for name in names],
    )
    with pytest.raises(Unsupported, match=words):
        onnx.signature(path)
