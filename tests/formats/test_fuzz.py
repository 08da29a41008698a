"""Changed files of every kind: each parser gives a verdict, in time, and never calls clean what Python's own readers
would still run."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import pickle
import signal
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bundle_parts
import onnx_models
from cloudmodel.bundle import archive
from cloudmodel.core.errors import CloudmodelError
from cloudmodel.formats.scan import scan
from cloudmodel.formats.scanning import opinions
from cloudmodel.formats.scanning.walk import TORCH_MAGIC
from hostile import CONTAINERS, object_npy, system, tarred, torch_zip, zipped

SECONDS = 20
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
KERAS = {"class_name": "Sequential", "module": "keras", "registered_name": None,
         "config": {"layers": [{"class_name": "Dense", "module": "keras.layers", "config": {"units": 3}}]}}  # fmt: skip


def made(write: Callable[[io.BytesIO], Any]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def savedmodel() -> bytes:
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    return b"\x08\x01" + field(2, field(2, field(1, field(1, b"node") + field(2, b"Add"))))


def safetensors() -> bytes:
    text = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


def hdf5() -> bytes:
    def write(file: io.BytesIO) -> None:
        with h5py.File(file, "w") as opened:
            opened.attrs["model_config"] = json.dumps(KERAS)
            opened["layer/kernel"] = np.eye(3)

    return made(write)


def zip64(content: bytes) -> bytes:
    """The same zip with the second directory that torch always writes."""
    at = content.rfind(b"PK\x05\x06")
    count, length, offset = struct.unpack_from("<H2I", content, at + 10)
    record = b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, length, offset)
    return content[:at] + record + b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1) + content[at:]


def exported() -> bytes:
    entry = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {}}
    configuration = json.dumps({"config": {"w": entry}}).encode()
    return zipped({"e/archive_format": b"pt2", "e/data/weights/weight_0": bytes(range(200, 232)),
                   "e/data/weights/model_weights_config.json": configuration}, zipfile.ZIP_STORED)  # fmt: skip


def onnx() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return onnx_models.linear(Path(folder) / "model.onnx").read_bytes()


OLD_TORCH: tuple[Any, ...] = (TORCH_MAGIC, 1001, {}, {}, [])
PICKLED = pickle.dumps({"a": [1, 2.5, "x", b"y" * 300], "t": (1, None)})
SEEDS: dict[str, bytes] = {
    "pickle": PICKLED,
    "pickle of protocol 0": pickle.dumps({"a": [1, 2.5]}, 0),
    "joblib": made(lambda file: joblib.dump({"a": np.arange(50.0)}, file)),
    "joblib, packed": made(lambda file: joblib.dump({"a": np.arange(50.0)}, file, compress=("zlib", 3))),
    "zip": zipped({"a/b.pkl": PICKLED, "c.txt": b"text"}),
    "zip64": zip64(zipped({"a/b.pkl": PICKLED})),
    "torch": torch_zip(PICKLED),
    "torch, the old form": b"".join(map(pickle.dumps, OLD_TORCH)) + bytes(64),
    "torch.export": exported(),
    "tar": tarred({"a.pkl": PICKLED, "d/b.txt": b"text"}),
    "gzip": gzip.compress(PICKLED, mtime=0),
    "bzip2": bz2.compress(PICKLED),
    "xz": lzma.compress(PICKLED),
    "lzma": lzma.compress(PICKLED, format=lzma.FORMAT_ALONE),
    "npy": made(lambda file: np.save(file, np.arange(20.0))),
    "npy of objects": object_npy(PICKLED),
    "npz": made(lambda file: np.savez(file, a=np.arange(9), b=np.eye(2))),
    "keras": zipped({"config.json": json.dumps(KERAS).encode(), "metadata.json": b"{}"}, zipfile.ZIP_STORED),
    "SavedModel": savedmodel(),
    "safetensors": safetensors(),
    "skops": zipped({"schema.json": json.dumps({"__class__": "dict", "__module__": "builtins"}).encode()}),
    "onnx": onnx(),
}


def mutations(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` with a few of its bytes changed, cut out, doubled or put in."""
    places = st.integers(0, len(data))
    loud = st.sampled_from([b"\0", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\x80\x04", b"\x7f" + b"\xff" * 7, b"("])
    change = st.tuples(st.sampled_from(["set", "insert", "delete", "double"]), places, st.integers(1, 16),
                       st.one_of(loud, st.binary(min_size=1, max_size=8)))  # fmt: skip

    def apply(changes: list[tuple[str, int, int, bytes]]) -> bytes:
        out = data
        for what, at, size, new in changes:
            if what == "set":
                out = out[:at] + new + out[at + len(new) :]
            elif what == "insert":
                out = out[:at] + new + out[at:]
            elif what == "delete":
                out = out[:at] + out[at + size :]
            else:
                out = out[: at + size] + out[at:]
        return out

    return st.lists(change, min_size=1, max_size=4).map(apply)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second opinions cost a process a file and are others' parsers."""
    monkeypatch.setattr(opinions, "installed", tuple)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Ends a parser that hangs."""

    def late(*_: object) -> None:
        raise AssertionError(f"no verdict within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def verdict(folder: Path, content: bytes) -> str:
    (folder / "model").write_bytes(content)
    with in_time():
        result = scan(folder / "model")
    assert (result.verdict == "clean") == (not result.findings)
    return result.verdict


@pytest.mark.parametrize("name", SEEDS)
def test_a_changed_file_has_a_verdict(tmp_path: Path, name: str) -> None:
    assert verdict(tmp_path, SEEDS[name]) == "clean"

    @FEW
    @given(mutations(SEEDS[name]))
    def fuzz(content: bytes) -> None:
        assert verdict(tmp_path, content) in ("clean", "unknown", "unsafe")

    fuzz()


def test_a_changed_hdf5_has_a_verdict(tmp_path: Path) -> None:
    """h5py's process is a fifth of a second each time."""
    seed = hdf5()
    assert verdict(tmp_path, seed) == "clean"

    @settings(FEW, max_examples=5)
    @given(mutations(seed))
    def fuzz(content: bytes) -> None:
        assert verdict(tmp_path, content) in ("clean", "unknown", "unsafe")

    fuzz()


class Ran(Exception):
    """Python's unpickler would have imported `os.system`."""


class Spy(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("posix", "system"), ("os", "system")):
            raise Ran
        raise pickle.UnpicklingError("nothing is imported here")


def first_of_zip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        name = next(each for each in opened.namelist() if not each.endswith("/"))
        with opened.open(name) as file:
            file._expected_crc = None  # type: ignore[attr-defined]  # as torch reads it
            return file.read()


def first_of_tar(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        for entry in opened:
            if file := opened.extractfile(entry):
                return file.read()
    return b""


READERS: dict[str, Callable[[bytes], bytes]] = {
    "alone": bytes,
    "gzip": gzip.decompress,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
    "zlib": zlib.decompress,
    "zip": first_of_zip,
    "zip, stored": first_of_zip,
    "torch": first_of_zip,
    "tar": first_of_tar,
    "model.tar.gz": first_of_tar,
}


@pytest.mark.parametrize("wrapping", READERS)
def test_what_python_would_still_run_is_never_clean(tmp_path: Path, wrapping: str) -> None:
    seed = CONTAINERS.get(wrapping, bytes)(system())

    def would_run(content: bytes) -> bool:
        try:
            Spy(io.BytesIO(READERS[wrapping](content))).load()
        except Ran:
            return True
        except Exception:  # whatever a reader says of a broken file
            return False
        return False

    assert would_run(seed)

    @settings(FEW, max_examples=60)
    @given(mutations(seed))
    def fuzz(content: bytes) -> None:
        if would_run(content):
            assert verdict(tmp_path, content) != "clean"

    fuzz()


def test_a_changed_bundle_is_read_as_it_was_or_refused(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    whole, manifest = gzip.decompress(packed.read_bytes()), archive.read_manifest(packed)

    @settings(FEW, max_examples=60)
    @given(mutations(whole))
    def fuzz(content: bytes) -> None:
        (tmp_path / "b.tar.gz").write_bytes(gzip.compress(content, 1))
        try:
            with in_time():
                found = archive.verify(tmp_path / "b.tar.gz")
        except CloudmodelError as error:
            assert error.code in (2, 14)
        else:  # a change of the manifest's own words is for the digest or the signature to notice
            assert found.files == manifest.files

    fuzz()


@FEW
@given(mutations(archive.encode_manifest(bundle_parts.manifest(Path(__file__).parent / "absent"))))
def test_a_changed_manifest_is_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(CloudmodelError), in_time():
        archive.decode_manifest(content, "here")
