"""Files that would run code, in every wrapping: none is clean, and none is loaded."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest

from cloudmodel.formats.scan import scan
from hostile import CONTAINERS, MARKER, OPCODES, Reduces, encrypted, stack_global, system, tarred, torch_zip, zipped


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARKER).exists()


def verdict(tmp_path: Path, content: bytes, name: str = "model.onnx") -> tuple[str, list[str]]:
    path = tmp_path / name
    path.write_bytes(content)
    result = scan(path)
    return result.verdict, [finding.rule for finding in result.findings]


@pytest.mark.parametrize("content", OPCODES.values(), ids=OPCODES)
def test_a_pickle_that_runs_code_is_not_clean(tmp_path: Path, content: bytes) -> None:
    found, rules = verdict(tmp_path, content)
    assert found != "clean"
    assert set(rules) & {"dangerous-import", "unlisted-import", "pickle-name", "pickle-call"}


@pytest.mark.parametrize(
    "payload", [system(), system(0), stack_global("logging", "os.system")], ids=["4", "0", "dotted"]
)
@pytest.mark.parametrize("wrap", CONTAINERS.values(), ids=CONTAINERS)
def test_no_wrapping_hides_it(tmp_path: Path, wrap: Callable[[bytes], bytes], payload: bytes) -> None:
    found, rules = verdict(tmp_path, wrap(payload))
    assert found == "unsafe"
    assert "dangerous-import" in rules


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)], ids=str)
@pytest.mark.parametrize("where", ["beside an array", "inside an array"])
def test_joblib_hides_nothing(tmp_path: Path, compress: Any, where: str) -> None:
    evil = Reduces(os.system, "touch " + MARKER)
    objects = np.array([evil, 1], dtype=object)
    value = {"weights": np.arange(50_000.0), "more": evil} if where == "beside an array" else [np.zeros(9), objects]
    joblib.dump(value, tmp_path / "model.joblib", compress=compress)
    result = scan(tmp_path / "model.joblib")
    assert result.verdict == "unsafe"
    assert result.findings[0].rule == "dangerous-import"


def lying_zip() -> bytes:
    data = bytearray(zipped({"honest.txt": b"hello"}, zipfile.ZIP_STORED))
    data[30:40] = b"system.pkl"
    return bytes(data)


def links(kind: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        entry = tarfile.TarInfo("model.onnx")
        entry.type = kind
        entry.linkname = "/etc/passwd"
        archive.addfile(entry)
    return file.getvalue()


def linked_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("weights")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning):
            archive.writestr("a", b"2")
    return file.getvalue()


def declared(size: int) -> bytes:
    data = bytearray(zipped({"a": b"hello" * 100}))
    at = data.find(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


def safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(**changed: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}}


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def keras(config: Any) -> bytes:
    return zipped({"metadata.json": b"{}", "config.json": json.dumps(config).encode()})


def layer(**fields: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "module": "keras", "config": {"layers": [fields]}}


def saved_model(operation: bytes, *, in_function: bool = False) -> bytes:
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    node = field(1, b"n") + field(2, operation)
    graph = field(2, field(1, field(3, node))) if in_function else field(1, node)
    return b"\x08\x01" + field(2, field(2, graph))


BROKEN: dict[str, bytes] = {
    "zip whose member has another name inside": lying_zip(),
    "zip with a link": linked_zip(),
    "zip with a name twice": twice(),
    "zip with an absolute name": zipped({"/etc/passwd": b"x"}),
    "zip that climbs": zipped({"a/../../b": b"x"}),
    "zip that holds more than it says": declared(5),
    "zip that holds less than it says": declared(50_000),
    "zip with a password": encrypted(zipped({"a": b"x"})),
    "zip with something before it": b"#!/bin/sh\n" + zipped({"a": b"x"}),
    "zip with something behind it": zipped({"a": b"x"}) + b"x",
    "zip without a directory": zipped({"a": b"x" * 100})[:60],
    "zip bomb": zipped({"a": bytes(400 << 20)}),
    "zip of very many": zipped({str(number): b"" for number in range(10_050)}),
    "zip nested without end": CONTAINERS["zip in zip in tar"](
        CONTAINERS["zip in zip in tar"](CONTAINERS["zip in zip in tar"](b"x"))
    ),
    "tar with a symbolic link": links(tarfile.SYMTYPE),
    "tar with a hard link": links(tarfile.LNKTYPE),
    "tar with a device": links(tarfile.CHRTYPE),
    "tar with a pipe": links(tarfile.FIFOTYPE),
    "tar that climbs": tarred({"../evil": b"x"}),
    "tar with an absolute name": tarred({"/tmp/evil": b"x"}),
    "tar cut short": tarred({"a": bytes(5000)})[:2000],
    "gzip cut short": CONTAINERS["gzip"](bytes(9000))[:-10],
    "gzip with a tail": CONTAINERS["zlib"](b"\x80\x04N.") + b"tail",
    "model.tar.gz with code": tarred(
        {"model.onnx": b"\x80\x04N.", "code/inference.py": b"import os\nos.system('x')\n"}, "w:gz"
    ),
    "TorchServe archive with a handler": zipped({"MAR-INF/MANIFEST.json": b"{}", "handler.py": b"import os\n"}),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "rar": b"Rar!\x1a\x07" + bytes(100),
    "7z in a tar": tarred({"model.7z": b"7z\xbc\xaf\x27\x1c" + bytes(100)}),
    "a library": tarred({"op.so": b"\x7fELF" + bytes(100)}),
    "lz4": b"\x04\x22\x4d\x18" + bytes(100),
    "zstandard": b"\x28\xb5\x2f\xfd" + bytes(100),
    "random bytes": bytes(range(255, 0, -1)) * 10,
    "a pickle cut short": pickle.dumps(list(range(1000)))[:-20],
    "a pickle with a tail": pickle.dumps([1]) + b"\xffrest",
    "a pickle of a lying length": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x",
    "a pickle of very many objects": b"\x80\x04" + b"N" * 4_000_100 + b".",
    "a pickle of marks": b"\x80\x04" + b"(" * 1000,
    "torch of another class": torch_zip(pickle.dumps(Reduces(zipfile.ZipFile, "x"))),
    "npy with a header that lies": npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }"),
    "npy with a huge shape": npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }"),
    "npy with code in its header": npy(b"__import__('os').system('x')"),
    "npy with objects in a structure": npy(b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }")
    + system(),
    "safetensors with a header that lies": struct.pack("<Q", 5000) + b"{}" + bytes(6000),
    "safetensors with a name twice": safetensors(
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "safetensors with a hole": safetensors(one(data_offsets=[8, 16]), bytes(16)),
    "safetensors that overlap": safetensors({**one(), "v": one()["w"]}, bytes(8)),
    "safetensors with a tail": safetensors(one(), bytes(99)),
    "safetensors of another size": safetensors(one(shape=[3]), bytes(8)),
    "safetensors of a negative size": safetensors(one(shape=[-2]), bytes(8)),
    "safetensors of an unknown type": safetensors(one(dtype="EVIL"), bytes(8)),
    "safetensors with a nested metadata": safetensors({"__metadata__": {"a": {}}, **one()}, bytes(8)),
    "keras Lambda": keras(layer(class_name="Lambda", module="keras.layers", config={})),
    "keras function": keras(layer(class_name="function", module="builtins", config="eval")),
    "keras import": keras(layer(class_name="run", module="subprocess", registered_name="run")),
    "keras helper": keras(layer(class_name="get_file", module="keras.utils", config={})),
    "keras marshal": keras(layer(class_name="__lambda__", config={"value": "4wEAAAA"})),
    "keras safe mode": keras(layer(class_name="Dense", module="keras.layers", config={"safe_mode": False})),
    "keras SavedModel": keras(layer(class_name="TFSMLayer", module="keras.layers", config={"filepath": "http://x"})),
    "keras class of one's own": keras(layer(class_name="Mine", module=None, registered_name="mine>Mine", config={})),
    "keras without JSON": zipped({"metadata.json": b"{}", "config.json": b"{"}),
    "keras deep": zipped({"metadata.json": b"{}", "config.json": b"[" * 100_000}),
    "SavedModel that reads files": saved_model(b"ReadFile"),
    "SavedModel that runs Python": saved_model(b"EagerPyFunc", in_function=True),
    "SavedModel that writes files": saved_model(b"WriteFile", in_function=True),
    "SavedModel that prints to a file": saved_model(b"PrintV2"),
    "skops of another class": zipped({"schema.json": json.dumps({"__class__": "system", "__module__": "os"}).encode()}),
    "skops without JSON": zipped({"schema.json": b"["}),
    "a SavedModel cut short": saved_model(b"Add")[:-3],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_lies_or_cannot_be_read_is_not_clean(tmp_path: Path, content: bytes) -> None:
    found, rules = verdict(tmp_path, content)
    assert found != "clean"
    assert rules


def external_link(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["weights"] = h5py.ExternalLink("/etc/passwd", "/x")


def external_data(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("w", (4,), dtype="u1", external=[("/etc/passwd", 0, 4)])


def virtual_data(path: Path) -> None:
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((4,), dtype="u1")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
        file.create_group("deep/er").create_virtual_dataset("w", layout)


def lambda_layer(path: Path) -> None:
    with h5py.File(path, "w") as file:
        config = layer(class_name="Lambda", config={"function": ["4wEAAAA=", None, None]})
        file.attrs["model_config"] = json.dumps(config)


def cut(path: Path) -> None:
    lambda_layer(path)
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize("make", [external_link, external_data, virtual_data, lambda_layer, cut])
@pytest.mark.parametrize("wrap", [bytes, lambda data: tarred({"model.h5": data}, "w:gz")], ids=["alone", "in a tar"])
def test_hdf5_reaches_nothing_and_runs_nothing(tmp_path: Path, make: Callable[[Path], None], wrap: Any) -> None:
    make(tmp_path / "model.h5")
    found, rules = verdict(tmp_path, wrap((tmp_path / "model.h5").read_bytes()))
    assert found != "clean"
    assert set(rules) <= {"external-link", "keras-code", "unreadable"}
