"""From a SavedModel to ONNX, by tf2onnx's own command, in this process.

Keras' `export(format="onnx")` is the same converter without the tables and constants that a SavedModel keeps: it fails
on a Normalization or a StringLookup layer, where this passes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx_ir
from onnxscript import version_converter

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import onnx_files
from cloudmodel.formats.original import Asked, Exporter

NEWEST = 18
"""The newest operator set that tf2onnx 1.17 writes."""
OPSET = 20

Writer = Callable[[Path], Path]
"""Gives a SavedModel folder, written below the given scratch folder if it is not there yet."""


def exporters(saved: Writer, signature: str) -> Mapping[str, Exporter]:
    """tf2onnx with the operator set brought up to 20, then as tf2onnx writes it."""
    return {
        "tf2onnx": partial(_export, saved, signature, OPSET),
        f"tf2onnx with operator set {NEWEST}": partial(_export, saved, signature, NEWEST),
    }


def _export(saved: Writer, signature: str, opset: int, asked: Asked, folder: Path) -> Path:
    import tf2onnx

    written = Path.cwd() / "tf2onnx.onnx"
    command = ["tf2onnx", "--saved-model", str(saved(Path.cwd() / "saved")), "--tag", "serve", "--signature_def",
               signature, "--opset", str(NEWEST), "--output", str(written)]  # fmt: skip
    if not hasattr(np, "object"):
        np.object = object  # type: ignore[attr-defined]  # tf2onnx 1.17 still asks for it
    with mock.patch.object(sys, "argv", command):
        tf2onnx.convert.main()
    model = onnx.load(str(written))
    written.unlink()
    if foreign := sorted({node.op_type for node in onnx_files.nodes(model.graph) if node.domain not in DOMAINS}):
        raise StepFailed(f"ONNX has no {', '.join(foreign)}")
    if opset > NEWEST:
        model = _raised(model, opset)
    _order(model.graph, asked)
    return onnx_files.save(model, folder)


DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def _raised(model: Any, opset: int) -> Any:
    inner = onnx_ir.serde.deserialize_model(model)
    version_converter.convert_version(inner, opset)
    return onnx_ir.serde.serialize_model(inner)


def _order(graph: Any, asked: Asked) -> None:
    """Inputs and outputs in the signature's order; tf2onnx writes them alphabetically."""
    for values, tensors in ((graph.input, asked.signature.inputs), (graph.output, asked.signature.outputs)):
        places = {tensor.name: place for place, tensor in enumerate(tensors)}
        ordered = sorted(values, key=lambda value: places.get(value.name, len(places)))
        copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in ordered]
        del values[:]
        values.extend(copies)
