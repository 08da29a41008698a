"""Keras' own quantization: dense layers and embeddings in int8, in the Keras model itself, which is exported again.

Its ONNX form quantizes activations row by row while the model runs (MatMulInteger): a quarter of the bytes, and often
slower than the float model, as the search then measures. Needs the extra `keras` and the Keras file.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats.extras import missing
from cloudmodel.formats.original import Asked, Job
from cloudmodel.optimize import data, proof
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

ROWS = 8
"""Rows of calibration data that the exported file is compared on, besides one alone."""


class KerasInt8:
    """`quantize("int8")` of Keras 3, as its authors apply it: every layer that can be."""

    name: ClassVar[str] = "keras-quantize"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = Parameters

    def inapplicable(self, before: Artifact, material: Material, parameters: Parameters) -> str | None:
        if reason := checks.no_keras_file(before, material, "Keras model: give model.source as a .keras or .h5 file"):
            return reason
        if material.calibration is None:
            return "there are no rows to compare the exported file on; name them as optimize.calibrate"
        return missing("keras")

    def apply(
        self, before: Artifact, material: Material, parameters: Parameters, folder: Path, report: Report = silent
    ) -> Artifact:
        from cloudmodel.formats.export import export
        from cloudmodel.formats.tensorflow.keras_model import open_model

        if reason := self.inapplicable(before, material, parameters):
            raise StepFailed(reason)
        assert material.source is not None
        assert material.calibration is not None
        report(Progress("quantize", 0, 1))
        model = open_model(Job(checks.KERAS, material.source.weights))
        if model.quantize() == 0:
            raise StepFailed("The model has no layer that Keras quantizes", hint="it takes dense layers and embeddings")
        rows = data.read_npz(material.calibration, material.signature)
        requests = [rows.take(range(count)).inputs for count in (1, min(ROWS, len(rows)))]
        asked = Asked(material.signature, requests, [model.answer(request) for request in requests], ({}, {}))
        return Artifact(Path(export(model.exporters(), asked, folder, where=str(material.source.weights)).model))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.quantized(before, after)
