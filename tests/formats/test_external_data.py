"""Weights beside a model: plain files inside its folder, nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx as onnx_library
import pytest

import onnx_models
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import ModelUnreadable, UnsafeModel
from cloudmodel.formats import onnx, onnx_files
from cloudmodel.formats.scan import require_clean, scan, scan_paths
from cloudmodel.formats.session import open_session
from cloudmodel.optimize.graph.opset import Opset, To
from cloudmodel.optimize.technique import Artifact, Material


def _point(path: Path, **entries: str) -> Path:
    """Rewrite the external data entries of a model."""
    model = onnx_library.load(path, load_external_data=False)
    (tensor,) = model.graph.initializer
    for entry in tensor.external_data:
        if entry.key in entries:
            entry.value = entries.pop(entry.key)
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("../weights.bin", "external-path"),
        ("a/../../weights.bin", "external-path"),
        ("/etc/passwd", "external-path"),
        ("./weights.bin", "external-path"),
        ("a\\weights.bin", "external-path"),
        ("weights\n.bin", "external-path"),
        ("", "external-path"),
        ("manifest.json", "external-path"),
        ("code/inference.py", "external-path"),
        ("big.onnx", "external-path"),
        ("absent.bin", "external-missing"),
    ],
)
def test_a_name_that_leaves_the_folder_or_takes_anothers_place(tmp_path: Path, location: str, rule: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(1 << 16))
    path = _point(onnx_models.external(tmp_path / "m"), location=location)
    verdict = scan(path)
    assert [finding.rule for finding in verdict.findings] == [rule]
    assert verdict.verdict == ("unknown" if rule == "external-missing" else "unsafe")
    with pytest.raises(UnsafeModel):
        require_clean(verdict)


def _symlink(folder: Path) -> None:
    (folder / "weights.bin").rename(folder / "real.bin")
    (folder / "weights.bin").symlink_to("real.bin")


def _hard_link(folder: Path) -> None:
    os.link(folder / "weights.bin", folder / "other.bin")


def _fifo(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    os.mkfifo(folder / "weights.bin")


def _folder(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()


@pytest.mark.parametrize("trick", [_symlink, _hard_link, _fifo, _folder])
def test_a_file_that_is_no_plain_file(tmp_path: Path, trick: Callable[[Path], None]) -> None:
    path = onnx_models.external(tmp_path)
    trick(tmp_path)
    assert [finding.rule for finding in scan(path).findings] == ["external-link"]


def test_a_folder_on_the_way_that_is_a_link(tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path / "m", "inner/weights.bin")
    assert scan(path).verdict == "clean"
    (tmp_path / "m/inner").rename(tmp_path / "outside")
    (tmp_path / "m/inner").symlink_to(tmp_path / "outside")
    assert [finding.rule for finding in scan(path).findings] == ["external-link"]


@pytest.mark.parametrize(
    ("entries", "rule"),
    [
        ({"offset": "4096"}, "external-range"),
        ({"offset": "-1"}, "external-range"),
        ({"offset": "9" * 30}, "external-range"),
        ({"length": "1e3"}, "external-range"),
        ({"length": "8"}, "size-mismatch"),
        ({"basepath": "/etc"}, "external-key"),
        ({"__class__": "x"}, "external-key"),
    ],
)
def test_a_part_that_is_not_there(tmp_path: Path, entries: dict[str, str], rule: str) -> None:
    path = _point(onnx_models.external(tmp_path), **entries)
    assert [finding.rule for finding in scan(path).findings] == [rule]


def test_weights_cut_short(tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path)
    os.truncate(tmp_path / "weights.bin", 100)
    assert [finding.rule for finding in scan(path).findings] == ["external-range"]


def test_a_bundle_gets_the_weights_beside_the_model(tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path / "m", "inner/weights.bin")
    copy = onnx.export(path, tmp_path / "bundle", Digests())
    assert copy.name == "model.onnx"
    assert onnx.load(copy).files == ("model.onnx", "inner/weights.bin")
    assert scan(copy).verdict == "clean"


def test_nothing_is_copied_from_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(1 << 16))
    path = _point(onnx_models.external(tmp_path / "m"), location="../secret")
    with pytest.raises(UnsafeModel, match="leaves"):
        onnx.export(path, tmp_path / "bundle/inner", Digests())
    assert not (tmp_path / "bundle/secret").exists()


def test_the_oldest_operator_set_becomes_20_and_the_weights_stay_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a model of more than 2 GiB goes, which no protobuf holds (benchmarks/large_onnx.py)."""
    before = Artifact(onnx_models.oldest(onnx_models.external(tmp_path / "old", "inner/weights.bin")))
    described = onnx.signature(before.model)
    (tmp_path / "small").mkdir()
    small = Opset().apply(before, Material(described), To(version=20), tmp_path / "small")
    assert [path.name for path in small.model.parent.iterdir()] == ["model.onnx"]  # a converter may look at these
    monkeypatch.setattr(onnx_files, "SMALL", 0)
    (tmp_path / "new").mkdir()
    after = Opset().apply(before, Material(described), To(version=20), tmp_path / "new")
    assert Opset().prove(before, after).counts["opset_after"] == 20
    assert onnx_files.declare(after.model, described, 10) == described
    assert (tmp_path / "new/inner/weights.bin").read_bytes() == (tmp_path / "old/inner/weights.bin").read_bytes()
    written = onnx_library.load(after.model, load_external_data=False)
    (tensor,) = written.graph.initializer
    assert (written.ir_version, tensor.data_location, tensor.raw_data) == (10, onnx_library.TensorProto.EXTERNAL, b"")
    assert [each.name for each in written.graph.input] == ["x"]
    assert (scan(after.model).verdict, onnx.load(after.model).signature) == ("clean", described)
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    for count in (1, 2, 5):
        old, *new = (open_session(each.model).run(None, {"x": rows[:count]})[0] for each in (before, small, after))
        assert all(np.array_equal(old, each) for each in new)


def test_a_folder_is_clean_when_its_model_and_the_weights_it_names_are(tmp_path: Path) -> None:
    onnx_models.external(tmp_path)
    report = scan_paths([tmp_path])
    assert {file.format for file in report.files} == {"onnx", "onnx-weights"}
    assert report.verdict == "clean"
    (tmp_path / "extra.bin").write_bytes(b"\xff" * 64)
    assert scan_paths([tmp_path]).verdict == "unknown"


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UnsafeModel, match=r"'weights.bin' is missing") as caught:
        require_clean(scan(path))
    assert not isinstance(caught.value, ModelUnreadable)
