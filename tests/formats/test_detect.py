"""A file is what its bytes say, whatever it is called."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onnx_models
from cloudmodel.core.errors import ModelUnreadable, UsageError
from cloudmodel.formats.detect import describe, detect, sniff

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "cli/cloudmodel/cli/scaffold/digits/models/digits.onnx"


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", b"x")
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"this is no model\n", "text"),
        ("größer als ein Byte\n".encode() * 500, "text"),
        (pickle.dumps({"a": 1}), "pickle"),
        (pickle.dumps({"a": 1}, protocol=2), "pickle"),
        (_zip(), "zip"),
        (_npy(), "npy"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "hdf5"),
        (b"GGUF" + bytes(100), "gguf"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        ((2).to_bytes(8, "little") + b"{}", "safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"\x08\x01\x12\x04abcd", "savedmodel"),  # a TensorFlow SavedModel begins like an ONNX model
        (bytes(range(256)), "unknown"),
    ],
)
@pytest.mark.parametrize("name", ["model.onnx", "model.bin", "model"])
def test_the_name_is_never_asked(tmp_path: Path, content: bytes, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert detect(tmp_path / name) == kind


@pytest.mark.parametrize("name", ["a.bin", "a.txt", "a.pkl", "a"])
def test_an_onnx_model_under_another_name_is_one(tmp_path: Path, name: str) -> None:
    for model in (onnx_models.linear(tmp_path / name), onnx_models.text(tmp_path / name)):
        assert detect(model) == "onnx"


def test_the_shipped_model_is_one() -> None:
    assert detect(DIGITS) == "onnx"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_model_that_is_cut_short_is_still_told_from_other_files(tmp_path: Path, share: float) -> None:
    content = DIGITS.read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
    assert detect(tmp_path / "cut") == "onnx"


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        detect(tmp_path / "absent.onnx")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="cannot be read"):
        detect(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelUnreadable, match="regular file"):
        detect(tmp_path / "pipe")
    with pytest.raises(ModelUnreadable, match="regular file"):
        detect(tmp_path)


@given(st.binary(max_size=5000), st.integers(0, 1 << 40))
def test_any_bytes_have_a_kind_with_a_name(head: bytes, more: int) -> None:
    assert describe(sniff(head, len(head) + more))
