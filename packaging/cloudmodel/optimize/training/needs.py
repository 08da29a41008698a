"""Why a technique that trains cannot be applied here; asks without importing PyTorch."""

from __future__ import annotations

from cloudmodel.formats.extras import missing
from cloudmodel.optimize.technique import Artifact, Material


def pytorch_model(before: Artifact, material: Material) -> str | None:
    """Why there is no PyTorch model to change: an ONNX file without the source that it came from, a step on ONNX files
    that came before, or no PyTorch."""
    if material.source is None or material.source.factory is None:
        return "not applicable, needs the PyTorch model: give model.source as module:factory, with model.weights"
    if before.trained is None:
        return "not applicable after a step that changed the ONNX file alone: put steps that train first"
    return missing("torch")


def training(before: Artifact, material: Material) -> str | None:
    """As `pytorch_model`; and why it cannot be trained: no data, or no metric to stop by."""
    if reason := pytorch_model(before, material):
        return reason
    if material.train is None:
        return "needs labelled rows to train on: give optimize.train"
    if material.metric is None:
        return "needs a metric to stop by: give evaluate.metric"
    return None
