"""Proof that a step changed the graph: two censuses compared. Every technique on ONNX files ends here."""

from __future__ import annotations

from cloudmodel.core.errors import NothingChanged
from cloudmodel.formats import onnx_files
from cloudmodel.optimize.technique import Artifact, Evidence


def changed(before: Artifact, after: Artifact, *, note: str = "", **counts: int) -> Evidence:
    """Nodes and weight bytes before and after, with further `counts`. Raises NothingChanged where both graphs consist
    of the same operators, attributes, weights and operator set."""
    old, new = onnx_files.census(before.model), onnx_files.census(after.model)
    if old.shape == new.shape:
        raise NothingChanged("The step changed nothing in the graph", hint="leave it out")
    return Evidence(
        counts={
            "nodes_before": old.nodes,
            "nodes_after": new.nodes,
            "weight_bytes_before": old.weight_bytes,
            "weight_bytes_after": new.weight_bytes,
            **counts,
        },
        note=note,
    )


def quantized(before: Artifact, after: Artifact, *, note: str = "") -> Evidence:
    """As `changed`, and the new graph has quantized operators. Raises NothingChanged where it has none."""
    added = onnx_files.census(after.model).quantized - onnx_files.census(before.model).quantized
    if added <= 0:
        raise NothingChanged(
            "The quantizer ran and quantized nothing",
            hint="its operators must have constant weights; name others as `operators`",
        )
    return changed(before, after, note=note, quantized=added)
