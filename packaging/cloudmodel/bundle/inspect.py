"""What is in a model file or a bundle, for a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cloudmodel.bundle.archive import read_folder, read_manifest
from cloudmodel.bundle.manifest import MANIFEST_NAME
from cloudmodel.core import files
from cloudmodel.core.errors import Unsupported, UsageError
from cloudmodel.formats import detect, onnx, scan


def inspect(path: Path) -> dict[str, Any]:
    """A JSON document on a bundle (archive or folder) or a model file; nothing is loaded or unpacked.

    Keys of both: `kind` (`bundle` or `model`), `path`, `format`. A bundle adds `digest` (an archive's) and
    `manifest`; a model adds `size_bytes`, `sha256`, `scan` and, where it is clean, `signature` (or `unsupported`, why
    it cannot be served), `opsets`, `operators`, `nodes`, `weights`. Raises UsageError, UnsafeModel, OSError.
    """
    if path.is_dir():
        if not (path / MANIFEST_NAME).is_file():
            raise UsageError("Neither a model file nor a bundle", where=str(path))
        manifest = read_folder(path)
        return {"kind": "bundle", "path": str(path), "format": manifest.format, "digest": None,
                "manifest": manifest.model_dump(mode="json")}  # fmt: skip
    kind = detect.detect(path)
    if kind == "gzip":
        manifest = read_manifest(path)
        return {"kind": "bundle", "path": str(path), "format": manifest.format,
                "digest": f"sha256:{files.sha256(path)}", "size_bytes": path.stat().st_size,
                "manifest": manifest.model_dump(mode="json")}  # fmt: skip
    verdict = scan.scan(path)
    document: dict[str, Any] = {
        "kind": "model",
        "path": str(path),
        "format": verdict.format,
        "size_bytes": path.stat().st_size,
        "sha256": files.sha256(path),
        "scan": verdict.scan.model_dump(mode="json"),
    }
    if verdict.scan.verdict == "clean":
        document |= _describe_onnx(path)
    return document


def _describe_onnx(path: Path) -> dict[str, Any]:
    header = onnx.read_header(path)
    operators = [
        {"domain": domain, "operator": operator, "count": count}
        for (domain, operator), count in sorted(header.operators.items())
    ]
    served: dict[str, Any]
    try:
        served = {"signature": onnx.signature(path).model_dump(mode="json")}
    except Unsupported as error:
        served = {"unsupported": error.message}
    return {
        **served,
        "producer": header.producer,
        "ir_version": header.ir_version,
        "opsets": dict(sorted(header.opsets.items())),
        "nodes": header.nodes,
        "operators": operators,
        "weights": {
            "tensors": len(header.tensors),
            "bytes": sum(tensor.byte_size or 0 for tensor in header.tensors),
            "files": list(onnx.external_files(header)),
        },
    }
