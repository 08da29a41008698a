"""Files that would run code, in every wrapping: none is clean, and none is loaded."""

from __future__ import annotations

import hashlib
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

import bundle_parts
from cloudmodel.bundle import archive
from cloudmodel.bundle.store import open_store
from cloudmodel.core import confined, tar
from cloudmodel.core.errors import CloudmodelError
from cloudmodel.formats.scan import scan
from cloudmodel.formats.scanning import budget, opinions
from cloudmodel.serving.package import ModelSource, package
from hostile import (
    CONTAINERS,
    MARKER,
    OPCODES,
    Reduces,
    encrypted,
    object_npy,
    stack_global,
    system,
    tarred,
    torch_zip,
    wrong_crc,
    zipped,
)


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


def compressed_joblib() -> bytes:
    file = io.BytesIO()
    joblib.dump(
        {"weights": np.arange(999.0), "more": Reduces(os.system, "touch " + MARKER)}, file, compress=("lzma", 3)
    )
    return file.getvalue()


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


def two_directories(content: bytes) -> bytes:
    """A zip whose zip64 record tells of another directory than its short one: readers differ in whom they believe."""
    at = content.rfind(b"PK\x05\x06")
    honest = zipped({"b": b"y"})
    other = honest.rfind(b"PK\x05\x06")
    count, length, offset = struct.unpack_from("<H2I", honest, other + 10)
    record = b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, length, offset + at)
    return content[:at] + honest[:other] + record + b"PK\x06\x07" + struct.pack("<IQI", 0, at + other, 1) + content[at:]


def exported(pickled: bytes, **config: Any) -> bytes:
    """A program of torch.export with one weight, as far as a scan goes."""
    entry = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {}} | config
    configuration = json.dumps({"config": {"w": entry}}).encode()
    return zipped({"e/archive_format": b"pt2", "e/data/weights/weight_0": pickled,
                   "e/data/weights/model_weights_config.json": configuration})  # fmt: skip


BROKEN: dict[str, bytes] = {
    "zip with two directories": two_directories(zipped({"a": b"x"})),
    "exported program with a pickled weight": exported(torch_zip(system()), use_pickle=True),
    "exported program with a pickled weight in other words": exported(torch_zip(system()), use_pickle="yes"),
    "exported program whose weights nobody describes": exported(b"\xff\x00\x01", path_name="weight_1"),
    "exported program with a compiled library": zipped({"e/archive_format": b"pt2", "e/data/a/m.so": b"\x7fELF" * 9}),
    "SavedModel that maps a file": saved_model(b"ImmutableConst"),
    "SavedModel that caches into a file": saved_model(b"CacheDatasetV2", in_function=True),
    "SavedModel's variables without a SavedModel": tarred({"variables/variables.index": b"\xff\x00\x01"}),
    "SavedModel whose variables are a pickle": tarred(
        {"saved_model.pb": saved_model(b"Add"), "variables/variables.data-00000-of-00001": system()}
    ),
    "keras operation that calls": keras(layer(class_name="Map", module="keras.src.ops.core", config={})),
    "keras function among operations": keras(layer(class_name="vectorize", module="keras.src.ops.numpy", config={})),
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


@pytest.mark.parametrize(
    ("name", "value"), [("SECONDS", -1.0), ("ARCHIVE", tar.Budget(bytes=1000)), ("OBJECTS", 1000), ("DEPTH", 0)]
)
def test_one_budget_is_for_a_file_and_all_that_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    content = tarred(
        {"a.pkl": pickle.dumps(list(range(3000))), "b.bin.gz": CONTAINERS["gzip"](pickle.dumps([*range(999)]))}
    )
    assert verdict(tmp_path, content) == ("clean", [])
    monkeypatch.setattr(budget, name, value)
    found, rules = verdict(tmp_path, content)
    assert (found, {*rules}) == ("unknown", {"too-complex"})


BYPASSES: dict[str, tuple[str, bytes]] = {
    "dotted name in STACK_GLOBAL": ("model.pkl", stack_global("logging", "os.system")),
    "compressed joblib": ("model.joblib", compressed_joblib()),
    "wrong CRC": ("model.pt", wrong_crc(torch_zip(system()))),
    "another extension": ("model.safetensors", torch_zip(system())),
    "no extension": ("model", system()),
    "payload before garbage": ("model.pkl", system()[:-1] + b"\xff\xfe garbage"),
    "object array": ("model.npy", object_npy(system())),
    "nested pickle": ("model.pkl", pickle.dumps({"inner": pickle.dumps({"inner": system()})})),
    "pkgutil.resolve_name": ("model.pkl", stack_global("pkgutil", "resolve_name", "os:system")),
    "encrypted": ("model.pt", encrypted(torch_zip(system()))),
    "7z": ("model.pt", b"7z\xbc\xaf\x27\x1c" + system()),
    "rar": ("model.pt", b"Rar!\x1a\x07\x01\x00" + system()),
    "unparsed": ("model.bin", b"\x28\xb5\x2f\xfd" + system()),
    "Keras Lambda": ("model.keras", keras(layer(class_name="Lambda", module="keras.layers", config={}))),
    "arbitrary import in a configuration": ("model.keras", keras(layer(class_name="system", module="os"))),
    "SavedModel that reads files": ("saved_model.pb", saved_model(b"ReadFile")),
    "SavedModel that runs Python": ("saved_model.pb", saved_model(b"PyFunc")),
    "handler of a .mar": ("model.mar", zipped({"MAR-INF/MANIFEST.json": b"{}", "handler.py": b"import os\n"})),
    "pickle in a .mar": ("model.mar", zipped({"MAR-INF/MANIFEST.json": b"{}", "model.pt": torch_zip(system())})),
}
"""Ways around a scanner that were seen in the field (docs/decisions/2026-11-25-scanning.md), by name."""


@pytest.mark.parametrize(("name", "content"), BYPASSES.values(), ids=BYPASSES)
def test_no_known_way_around_is_one_alone_or_in_a_real_bundle(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert scan(tmp_path / name).verdict != "clean"
    folder = bundle_parts.fill(tmp_path / "in", {name: content})
    archive.write(folder, bundle_parts.manifest(folder), tmp_path / "model.tar.gz")
    found = scan(tmp_path / "model.tar.gz")
    assert found.verdict != "clean"
    assert all(name in each.location for each in found.findings)


def test_package_loads_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opinions, "installed", tuple)
    monkeypatch.setattr(confined, "run", lambda *_, **__: pytest.fail("a child began to load it"))
    store = open_store("store", base=tmp_path)
    for place, (name, content) in enumerate([*BYPASSES.values(), *(("model.pkl", each) for each in OPCODES.values())]):
        model = bundle_parts.fill(tmp_path / str(place), {name: content}) / name
        with pytest.raises(CloudmodelError) as caught:
            package(ModelSource("evil", model), store)
        assert caught.value.code in (1, 2, 14), name
    assert not (tmp_path / "store").exists()


def test_these_are_at_least_a_hundred_and_twenty() -> None:
    payloads = (system(), system(0), stack_global("logging", "os.system"))
    every = [*OPCODES.values(), *BROKEN.values(), *(content for _, content in BYPASSES.values()),
             *(wrap(payload) for wrap in CONTAINERS.values() for payload in payloads)]  # fmt: skip
    assert len({hashlib.sha256(each).digest() for each in every}) >= 120


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
