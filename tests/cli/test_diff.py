"""`cloudmodel diff` on bundles as they come: archives, folders, digests of a store, optimized, signed, missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import bundle_parts
from cloudmodel.bundle import archive
from cloudmodel.bundle.store import open_store

INTERVAL = {"low": 1.1, "mid": 1.2, "high": 1.3}
PROVEN = {
    "gate": {"metric": "accuracy", "value": 0.9, "delta": INTERVAL, "fidelity": 0.99, "verdict": "met"},
    "latency": {"ratio": INTERVAL},
}


def model(*arrays: Any) -> bytes:
    """An ONNX model with these weights."""
    weights = [each if isinstance(each, TensorProto) else numpy_helper.from_array(each) for each in arrays]
    for number, each in enumerate(weights):
        each.name = f"w{number}"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value], weights)
    graph.output[0].name = "y"
    return bytes(helper.make_model(graph).SerializeToString())


FLOATS = model(np.ones((100, 10), np.float32))
BYTES = model(np.ones((100, 30), np.int8), np.ones(250, np.float32), helper.make_tensor("w", 22, [2000], [0] * 2000))


@pytest.fixture
def bundles(project: Path, tmp_path: Path) -> dict[str, Path]:
    """An archive, what it holds as a folder, and an optimized archive with other weights."""
    made: dict[str, Path] = {}
    for name, content, metadata in (("plain", FLOATS, {}), ("optimized", BYTES, {"optimization": PROVEN})):
        folder = bundle_parts.fill(tmp_path / name, {"model.onnx": content, "labels.txt": b"zero\n"})
        manifest = bundle_parts.manifest(folder, "digits").model_copy(update={"metadata": metadata})
        made[name] = tmp_path / f"{name}.tar.gz"
        archive.write(folder, manifest, made[name])
        made[f"{name} folder"] = folder
        (folder / "manifest.json").write_bytes(archive.encode_manifest(manifest))
    return made


def test_precision_proof_size_and_signature(cli: Any, project: Path, bundles: dict[str, Path]) -> None:
    store = open_store(".cloudmodel/bundles", base=project)
    old, new = store.put(bundles["plain"]), store.put(bundles["optimized"])
    store.attach(new, b"a signature")
    told = cli("diff", old, new, "-j").json
    assert told["before"] == {"digest": old, "size_bytes": bundles["plain"].stat().st_size, "signed": False}
    assert told["after"]["signed"] is True
    assert told["precision"] == {"before": {"float32": 1.0}, "after": {"float32": 0.2, "int4": 0.2, "int8": 0.6}}
    assert told["optimization"]["after"]["fidelity"] == 0.99 and told["optimization"]["before"] is None
    assert told["files"] == {"added": [], "removed": [], "changed": ["model.onnx"]} and told["signature"] == []
    text = cli("diff", old, new).out
    for line in ("callers", "precision", "signed"):
        assert f"\n{line}" in text
    assert "float32 100.0 % -> int8 60.0 %, float32 20.0 %, int4 20.0 %" in text
    assert (
        "accuracy 0.9000, change +1.2000 [+1.1000, +1.3000], fidelity 0.9900, 1.20 [1.10, 1.30] times as fast" in text
    )


def test_an_unpacked_bundle_is_one_too(cli: Any, bundles: dict[str, Path]) -> None:
    told = cli("diff", str(bundles["plain"]), str(bundles["optimized folder"]), "-j").json
    assert told["after"]["digest"] is None and told["after"]["size_bytes"] > len(BYTES)
    assert told["precision"]["after"] == {"float32": 0.2, "int4": 0.2, "int8": 0.6}
    same = cli("diff", str(bundles["plain"]), str(bundles["plain folder"])).out
    assert "compatible" in same and "files      the same" in same


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("nowhere.tar.gz", 2, "no such bundle"),
        (f"sha256:{'0' * 64}", 2, "has no bundle sha256:000"),
        ("cloudmodel.yaml", 14, "Archive refused"),
        ("models", 14, "manifest.json"),
    ],
)
def test_what_is_no_bundle_is_said(cli: Any, bundles: dict[str, Path], what: str, code: int, said: str) -> None:
    ran = cli("diff", str(bundles["plain"]), what, "-j")
    assert ran.code == code, ran.json
    assert said in ran.json["message"] + str(ran.json["where"])


def test_a_model_that_was_cut_short_is_told(cli: Any, bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = bundle_parts.fill(tmp_path / "cut", {"model.onnx": FLOATS[: len(FLOATS) // 2]})
    target = tmp_path / "cut.tar.gz"
    archive.write(folder, bundle_parts.manifest(folder, "digits"), target)
    assert cli("diff", str(bundles["plain"]), str(target), "-j").code == 14
