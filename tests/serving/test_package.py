"""A model becomes the same bundle every time, or nothing at all."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper

import onnx_models
import optimize_parts
from cloudmodel.bundle import archive
from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.core.errors import (
    CloudmodelError,
    GateNotMet,
    ModelUnreadable,
    ProjectInvalid,
    UnsafeModel,
    Unsupported,
    UsageError,
)
from cloudmodel.core.progress import Progress
from cloudmodel.formats import opening
from cloudmodel.formats.original import Job
from cloudmodel.formats.preprocess import IdSteps
from cloudmodel.serving import inference_code
from cloudmodel.serving.package import ModelSource, package

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "cli/cloudmodel/cli/scaffold/digits"


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return open_store("store", base=tmp_path)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of its own, so that a test sees what is left behind."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def left(*folders: Path) -> list[Path]:
    """The files in these folders."""
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_the_shipped_model(store: BundleStore) -> None:
    seen: list[Progress] = []
    source = ModelSource(
        "digits",
        DIGITS / "models/digits.onnx",
        task="image-classification",
        labels=DIGITS / "models/labels.txt",
        samples=DIGITS / "data/heldout.npz",
    )
    packaged = package(source, store, seen.append)
    manifest = packaged.manifest
    assert store.newest("digits") == packaged.digest
    assert archive.verify(packaged.archive, digest=packaged.digest) == manifest
    assert packaged.size == packaged.archive.stat().st_size
    assert (manifest.format, manifest.layout, manifest.labels) == ("onnx", "onnxruntime", "labels.txt")
    assert manifest.scan.verdict == "clean"
    assert manifest.parity.passed
    assert (manifest.parity.samples, manifest.parity.agreement) == (12, 1.0)
    assert {entry.path for entry in manifest.files} >= {"model.onnx", "labels.txt", "code/inference.py"}
    assert list(dict.fromkeys(progress.task for progress in seen)) == [
        "scan", "load", "layout", "parity", "archive", "store",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["linear", "text", "echo", "scalar", "external", "oldest"])
def test_models_of_every_shape(tmp_path: Path, store: BundleStore, name: str) -> None:
    makers: dict[str, Callable[[], Path]] = {
        "linear": lambda: onnx_models.linear(tmp_path / "m.onnx"),
        "text": lambda: onnx_models.text(tmp_path / "m.onnx"),
        "echo": lambda: onnx_models.echo(tmp_path / "m.onnx", "fdhiubs"),
        "scalar": lambda: onnx_models.echo(tmp_path / "m.onnx", "fs", ()),
        "external": lambda: onnx_models.external(tmp_path / "model", "inner/weights.bin"),
        "oldest": lambda: onnx_models.oldest(onnx_models.linear(tmp_path / "m.onnx")),
    }
    manifest = package(ModelSource(name, makers[name]()), store).manifest
    assert manifest.parity.passed
    assert manifest.parity.max_abs_error == 0.0
    assert ("inner/weights.bin" in {entry.path for entry in manifest.files}) == (name == "external")


def test_a_folder_with_one_model_is_that_model(tmp_path: Path, store: BundleStore) -> None:
    onnx_models.external(tmp_path / "model")
    assert package(ModelSource("one", tmp_path / "model"), store).manifest.provenance.source == "big.onnx"
    onnx_models.linear(tmp_path / "model/second.onnx")
    with pytest.raises(ProjectInvalid, match=r"exactly one ONNX file; found: big\.onnx, second\.onnx"):
        package(ModelSource("two", tmp_path / "model"), store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProjectInvalid, match="no model"):
        package(ModelSource("none", tmp_path / "empty"), store)


def test_a_list_of_more_ids_than_the_model_knows_is_refused(tmp_path: Path, store: BundleStore) -> None:
    model = optimize_parts.two_tower(tmp_path / "pairs.onnx")  # of 943 users
    maps = {"user": "".join(f"u{place}\n" for place in range(944)), "item": "first\nsecond\n"}
    with pytest.raises(ModelUnreadable, match="idx=943"):
        package(ModelSource("pairs", model, preprocess=IdSteps(maps=maps)), store)


def test_labels_of_another_model_are_refused(tmp_path: Path, store: BundleStore) -> None:
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(ProjectInvalid, match="has 2 lines, and no output has as many scores: logits has 10") as caught:
        package(ModelSource("net", DIGITS / "models/digits.onnx", labels=tmp_path / "labels.txt"), store)
    assert caught.value.hint


SCRIPT = """
import os, sys
from pathlib import Path
from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package
os.umask(0o077)
folder = Path(sys.argv[1])
os.chdir(folder)
source = ModelSource("same", Path("model/big.onnx"), labels=Path("labels.txt"))
print(package(source, open_store("s", base=folder)).digest)
"""


def test_the_same_model_is_the_same_bundle_on_another_day_in_another_place(tmp_path: Path, store: BundleStore) -> None:
    onnx_models.external(tmp_path / "a/model")
    (tmp_path / "a/labels.txt").write_text("one\n" * 256)
    first = package(ModelSource("same", tmp_path / "a/model/big.onnx", labels=tmp_path / "a/labels.txt"), store)
    again = package(ModelSource("same", tmp_path / "a/model/big.onnx", labels=tmp_path / "a/labels.txt"), store)
    assert again.digest == first.digest
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere/b", copy_function=shutil.copy)
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700)
    environment = {**os.environ, "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "99", "LC_ALL": "C"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "elsewhere/b")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == first.digest


def _nan(folder: Path) -> Path:
    matrix = np.ones((4, 3), np.float32)
    matrix[1, 1] = np.nan
    return onnx_models.linear(folder / "m.onnx", matrix=matrix)


def _written(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "m.onnx").write_bytes(content)
        return folder / "m.onnx"

    return write


def _cut(folder: Path) -> Path:
    path = onnx_models.linear(folder / "m.onnx")
    os.truncate(path, path.stat().st_size // 2)
    return path


def _custom(folder: Path) -> Path:
    return onnx_models.save(
        folder / "m.onnx",
        [helper.make_node("Magic", ["x"], ["y"], domain="some.where")],
        [onnx_models.value("x", T.FLOAT, [1])],
        [onnx_models.value("y", T.FLOAT, [1])],
        domains=["some.where"],
    )


def _unloadable(folder: Path) -> Path:
    """onnx's checker takes it; onnxruntime refuses it and names the file."""
    return onnx_models.save(
        folder / "m.onnx",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [onnx_models.value("x", T.FLOAT, [1, 4])],
        [onnx_models.value("y", T.FLOAT, [1, 4])],
        [onnx_models.weight("w", np.ones(3, np.float32))],
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (_written(b""), ModelUnreadable, "an empty file"),
        (_written(b"this is no model\n"), ModelUnreadable, "a text file"),
        (_written(pickle.dumps(print)), UnsafeModel, "print"),
        (_written(b"\x7fELF" + bytes(60)), ModelUnreadable, "not a model"),
        (_cut, ModelUnreadable, "cut short"),
        (_nan, ModelUnreadable, "'w' holds NaN"),
        (_custom, UnsafeModel, "native library"),
        (_unloadable, ModelUnreadable, "cannot load"),
        (lambda folder: folder / "absent.onnx", UsageError, "no such file"),
    ],
)
def test_a_bad_model_says_why_and_leaves_nothing(
    tmp_path: Path, store: BundleStore, scratch: Path, make: Callable[[Path], Path], error: type[CloudmodelError],
    words: str,
) -> None:  # fmt: skip
    (tmp_path / "in").mkdir()
    with pytest.raises(error, match=words) as caught:
        package(ModelSource("bad", make(tmp_path / "in")), store)
    assert caught.value.code in (2, 14)
    assert str(caught.value.where).startswith(str(tmp_path / "in"))
    assert "cloudmodel-package-" not in f"{caught.value} {caught.value.where}"
    assert not left(tmp_path / "store", scratch)
    assert store.newest("bad") is None


def test_inputs_and_outputs_may_have_any_name(tmp_path: Path, store: BundleStore) -> None:
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["file"], ["allow_pickle"])],
        [onnx_models.value("file", T.FLOAT, ["n", 4])],
        [onnx_models.value("allow_pickle", T.FLOAT, ["n", 4])],
    )
    assert package(ModelSource("named", path), store).manifest.parity.passed


def test_a_bundle_that_answers_differently_is_never_kept(
    tmp_path: Path, store: BundleStore, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = inference_code.INFERENCE + (
        "_right = output_fn\n\n\ndef output_fn(prediction, accept):\n"
        "    return _right(prediction._replace(outputs={{k: v + 1 for k, v in prediction.outputs.items()}}), accept)\n"
    )
    monkeypatch.setattr(inference_code, "INFERENCE", wrong)
    with pytest.raises(GateNotMet) as caught:
        package(ModelSource("wrong", onnx_models.linear(tmp_path / "m.onnx")), store)
    assert caught.value.details["parity"]["max_abs_error"] == pytest.approx(1.0)
    assert not left(tmp_path / "store", scratch)


@pytest.mark.parametrize("call", range(1, 20, 3))
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, store: BundleStore, scratch: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    model = onnx_models.linear(tmp_path / "m.onnx")
    real, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CloudmodelError, match="No space left on device") as caught:
        package(ModelSource("full", model), store)
    assert caught.value.code == 1
    assert "make room" in str(caught.value.hint)
    assert not left(scratch)
    assert store.newest("full") is None


@pytest.mark.parametrize("stage", ["scan", "load", "parity", "archive", "store"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, store: BundleStore, scratch: Path, stage: str) -> None:
    def stop(progress: Progress) -> None:
        if progress.task == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package(ModelSource("stopped", onnx_models.linear(tmp_path / "m.onnx")), store, stop)
    assert not left(tmp_path / "store", scratch)


def test_a_model_that_changes_after_the_scan_is_scanned_again(
    tmp_path: Path, store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx_models.linear(tmp_path / "m.onnx")
    (tmp_path / "other").mkdir()
    hostile = _custom(tmp_path / "other").read_bytes()
    loaded: list[Job] = []
    monkeypatch.setattr(opening, "open_model", lambda job, *_, **__: loaded.append(job))

    def swap(progress: Progress) -> None:
        if progress.task == "scan":
            model.write_bytes(hostile)

    with pytest.raises(UnsafeModel, match="native library"):
        package(ModelSource("swapped", model), store, swap)
    assert not loaded


def test_what_the_project_says_of_inputs(tmp_path: Path, store: BundleStore) -> None:
    model = onnx_models.text(tmp_path / "m.onnx")
    narrowed = [{"name": "ids", "dtype": "int64", "shape": ["rows", 12]}]
    signature = package(ModelSource("text", model, inputs=narrowed), store).manifest.signature
    assert [tensor.shape for tensor in signature.inputs] == [("rows", 12), ("batch", "tokens")]
    for wrong, words in (
        ({"name": "other", "dtype": "int64", "shape": [1]}, "no input 'other'"),
        ({"name": "ids", "dtype": "int32", "shape": ["batch", 12]}, "is int64"),
        ({"name": "ids", "dtype": "int64", "shape": [12]}, "is int64"),
    ):
        with pytest.raises(ProjectInvalid, match=words):
            package(ModelSource("text", model, inputs=[wrong]), store)


def test_what_cannot_be_done_is_named(tmp_path: Path, store: BundleStore) -> None:
    model = onnx_models.linear(tmp_path / "m.onnx")
    with pytest.raises(Unsupported, match="layout 'sklearn', which is for sklearn") as caught:
        package(ModelSource("m", model, layout="sklearn"), store)
    assert caught.value.hint == "choose one of: auto, onnxruntime, triton, torchserve"
    with pytest.raises(ProjectInvalid, match="no such labels"):
        package(ModelSource("m", model, labels=tmp_path / "absent.txt"), store)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectInvalid, match="not UTF-8"):
        package(ModelSource("m", model, labels=tmp_path / "labels.txt"), store)
    with pytest.raises(ProjectInvalid, match="not a name"):
        package(ModelSource("../escape", model), store)
