"""What a reviewer is told of two bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bundle_parts
from cloudmodel.bundle.diff import diff
from cloudmodel.bundle.manifest import Manifest, Signature, Tensor

X = Tensor(name="x", dtype="float32", shape=("batch", 4))
Y = Tensor(name="y", dtype="float32", shape=("batch", 4))


@pytest.fixture
def before(tmp_path: Path) -> Manifest:
    """A bundle's manifest with the input x and the output y."""
    return _with(bundle_parts.manifest(bundle_parts.fill(tmp_path / "a")), (X,), (Y,))


def _with(manifest: Manifest, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> Manifest:
    return manifest.model_copy(update={"signature": Signature(inputs=inputs, outputs=outputs)})


def _like(tensor: Tensor, **changes: Any) -> Tensor:
    return tensor.model_copy(update=changes)


@pytest.mark.parametrize(
    ("inputs", "outputs", "changes", "breaking"),
    [
        ((X,), (Y,), [], False),
        ((X,), (Y, _like(Y, name="z")), ["added"], False),
        ((X,), (_like(Y, name="a"), Y), ["added", "order"], True),
        ((X, _like(X, name="m")), (Y,), ["added"], True),
        ((_like(X, name="image"),), (Y,), ["added", "removed"], True),
        ((X,), (_like(Y, name="z"),), ["removed", "added"], True),
        ((_like(X, dtype="int64"),), (Y,), ["dtype"], True),
        ((_like(X, shape=("n", "width")),), (Y,), ["shape"], False),
        ((_like(X, shape=(1, 4)),), (Y,), ["shape"], True),
        ((X,), (_like(Y, shape=("batch", "k")),), ["shape"], True),
        ((X,), (_like(Y, shape=(1, 4)),), ["shape"], False),
    ],
)
def test_what_breaks_callers(
    before: Manifest, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], changes: list[str], breaking: bool
) -> None:
    found = diff(before, _with(before, inputs, outputs))
    assert [each["change"] for each in found["signature"]] == changes
    assert found["breaking"] is breaking


def test_files_versions_and_facts(before: Manifest, tmp_path: Path) -> None:
    content = {"model.onnx": b"other", "labels.txt": b"zero\none\n", "new.txt": b""}
    after = bundle_parts.manifest(bundle_parts.fill(tmp_path / "b", content)).model_copy(
        update={"versions": {"python": "4"}, "layout": "triton"}
    )
    found = diff(before, after)
    assert found["files"] == {
        "added": ["new.txt"],
        "removed": ["code/inference.py", "code/inner/part.py"],
        "changed": ["model.onnx"],
    }
    assert found["versions"] == {"added": [], "removed": [], "changed": ["python"]}
    assert found["facts"] == {"layout": {"before": "onnxruntime", "after": "triton"}}


@pytest.mark.parametrize("metadata", [{}, {"optimization": 3}, {"optimization": {"gate": []}}])
def test_what_is_no_proof_is_none(before: Manifest, metadata: dict[str, Any]) -> None:
    assert diff(before, before.model_copy(update={"metadata": metadata}))["optimization"]["after"] is None


def test_what_optimize_proved(before: Manifest) -> None:
    interval = {"low": 1.1, "mid": 1.2, "high": 1.3}
    gate = {"metric": "accuracy", "value": 0.9, "delta": interval, "fidelity": 0.99, "rows": 898, "confidence": 0.95}
    after = before.model_copy(update={"metadata": {"optimization": {"gate": gate, "latency": {"ratio": interval}}}})
    assert diff(before, after)["optimization"] == {"before": None, "after": {**gate, "latency_ratio": interval}}
