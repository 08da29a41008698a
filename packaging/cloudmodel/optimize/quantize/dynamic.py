"""Dynamic int8: weights in 8 bits, activations quantized while the model runs. For models whose time is in MatMul."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar, Literal

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import proof
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.sensitivity import GEMM_BECOMES
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

Operator = Literal["MatMul", "Gemm", "Gather", "Attention", "EmbedLayerNormalization", "LSTM", "Conv"]


class Dynamic(Parameters):
    """`operators` are what is quantized; Conv is left out by default, for ConvInteger is many times slower than the
    float convolution. `reduce_range` uses 7 bits, for processors whose 8-bit sums saturate (x86 without VNNI)."""

    operators: tuple[Operator, ...] = ("MatMul", "Gemm", "Gather", "Attention", "EmbedLayerNormalization", "LSTM")
    weights: Literal["int8", "uint8"] = "int8"
    per_channel: bool = True
    reduce_range: bool = False
    exclude: tuple[str, ...] = ()


class DynamicInt8:
    """onnxruntime's dynamic quantization."""

    name: ClassVar[str] = "dynamic-int8"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = Dynamic

    def inapplicable(self, before: Artifact, material: Material, parameters: Dynamic) -> str | None:
        return checks.quantized_already(before.model) or checks.no_weights(before.model, parameters.operators)

    def apply(
        self, before: Artifact, material: Material, parameters: Dynamic, folder: Path, report: Report = silent
    ) -> Artifact:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        logging.getLogger().setLevel(logging.ERROR)
        prepared = checks.prepare(before.model, folder)
        checks.check_names(prepared, parameters.exclude)
        # A Gemm becomes MatMul and Add on its way, and is asked for under its new name.
        exclude = sorted({*parameters.exclude, *(f"{name}{GEMM_BECOMES}" for name in parameters.exclude)})
        written = folder / "quantized.onnx"
        try:
            quantize_dynamic(
                prepared,
                written,
                op_types_to_quantize=sorted({"MatMul" if each == "Gemm" else each for each in parameters.operators}),
                per_channel=parameters.per_channel,
                reduce_range=parameters.reduce_range,
                weight_type=QuantType.QInt8 if parameters.weights == "int8" else QuantType.QUInt8,
                nodes_to_exclude=exclude,
                use_external_data_format=onnx_files.size_of(prepared) >= onnx_files.MOST_INLINE,
            )
        except Exception as error:
            raise StepFailed(
                f"The quantizer failed: {' '.join(str(error).split())[:300]}", where=str(before.model)
            ) from error
        model = onnx_files.load(written)
        written.unlink()
        return Artifact(onnx_files.save(model, folder))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.quantized(before, after)
