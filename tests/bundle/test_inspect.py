"""What a model or a bundle says of itself, without loading or unpacking it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper

import bundle_parts
import onnx_models
from cloudmodel.bundle import archive
from cloudmodel.bundle.inspect import inspect
from cloudmodel.core.errors import UnsafeModel, UsageError


def test_a_model(tmp_path: Path) -> None:
    document = inspect(onnx_models.text(tmp_path / "m.onnx"))
    assert document["kind"] == "model"
    assert document["scan"] == {"verdict": "clean", "findings": []}
    assert [tensor["name"] for tensor in document["signature"]["inputs"]] == ["ids", "mask"]
    assert document["weights"] == {"tensors": 3, "bytes": 50 * 5 * 4 + 5 * 3 * 4 + 8, "files": []}
    assert document["nodes"] == 6
    json.dumps(document)


def test_a_model_that_cannot_be_served_says_why(tmp_path: Path) -> None:
    model = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [onnx_models.value("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1])],
    )
    document = inspect(model)
    assert "'y' is a sequence" in document["unsupported"]
    assert "signature" not in document
    assert document["nodes"] == 1


def test_a_model_that_is_not_clean_is_not_described(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    document = inspect(tmp_path / "m.onnx")
    assert document["scan"]["verdict"] == "unknown"
    assert "signature" not in document


def test_a_bundle_packed_and_unpacked(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    archive.extract(packed, tmp_path / "out")
    from_archive, from_folder = inspect(packed), inspect(tmp_path / "out")
    assert from_archive["manifest"] == from_folder["manifest"]
    assert from_archive["digest"].startswith("sha256:")
    assert from_folder["digest"] is None
    json.dumps(from_archive)


def test_what_is_neither(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        inspect(tmp_path)
    with pytest.raises(UsageError):
        inspect(tmp_path / "absent")
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b\x08" + bytes(40))
    with pytest.raises(UnsafeModel):
        inspect(tmp_path / "x.tar.gz")
