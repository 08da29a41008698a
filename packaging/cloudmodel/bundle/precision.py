"""In which precision a bundle's weights lie."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path, PurePosixPath

from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import Manifest
from cloudmodel.formats import onnx
from cloudmodel.formats.onnx_header import NUMPY_NAME, Header


def shares(bundle: Path, manifest: Manifest) -> dict[str, float] | None:
    """Of the bytes of all weights the share of each dtype, for an archive or a folder with an ONNX model that has
    weights; None for others. Reads the model's header and loads nothing. Raises UnsafeModel, ModelUnreadable, OSError.
    """
    name = next((each.path for each in manifest.files if PurePosixPath(each.path).name == onnx.MODEL_FILE), None)
    if name is None:
        return None
    if bundle.is_dir():
        return _shares(onnx.read_header(bundle / name))
    with tempfile.TemporaryDirectory(prefix="cloudmodel-diff-") as work:
        return _shares(onnx.read_header(archive.extract_file(bundle, name, Path(work) / onnx.MODEL_FILE)))


def _shares(header: Header) -> dict[str, float] | None:
    counts: Counter[str] = Counter()
    for tensor in header.tensors:
        counts[_named(tensor.data_type)] += tensor.byte_size or 0
    total = counts.total()
    return {name: count / total for name, count in sorted(counts.items()) if count} if total else None


def _named(data_type: int) -> str:
    """numpy's name of a type, else ONNX's own."""
    if data_type in NUMPY_NAME:
        return NUMPY_NAME[data_type]
    from onnx import TensorProto

    known = {number: name.lower() for name, number in TensorProto.DataType.items()}
    return known.get(data_type, f"type {data_type}")
