"""Folders and manifests to make bundles of, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cloudmodel.bundle import archive
from cloudmodel.bundle.build import list_files
from cloudmodel.bundle.manifest import Manifest, Parity, Provenance, Scan, Signature, Tensor

CONTENT: Mapping[str, bytes] = {
    "model.onnx": bytes(range(256)) * 40,
    "labels.txt": b"zero\none\n",
    "code/inference.py": b"# code\n",
    "code/inner/part.py": b"",
}


def fill(folder: Path, content: Mapping[str, bytes] = CONTENT) -> Path:
    """Write files into `folder`; returns it."""
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def manifest(folder: Path, name: str = "parts") -> Manifest:
    """A manifest of everything in `folder`; of nothing where there is no such folder."""
    tensor = Tensor(name="x", dtype="float32", shape=("batch", 4))
    return Manifest(
        name=name,
        format="onnx",
        layout="onnxruntime",
        signature=Signature(inputs=(tensor,), outputs=(tensor,)),
        scan=Scan(verdict="clean"),
        parity=Parity(samples=1, max_abs_error=0.0, max_rel_error=0.0, agreement=1.0, passed=True),
        files=archive.entries(folder, list_files(folder)),
        provenance=Provenance(source="model.onnx", source_sha256="0" * 64),
        versions={"python": "3"},
    )


def pack(folder: Path, target: Path, name: str = "parts") -> Path:
    """Fill `folder`, write its archive to `target`; returns `target`."""
    fill(folder)
    archive.write(folder, manifest(folder, name), target)
    return target
