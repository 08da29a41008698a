"""Weights of MatMul and Gemm nodes in 8 or 4 bits, in blocks; activations stay float. For models bound by memory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar, Literal

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import proof
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters


class Blocks(Parameters):
    """`block` weights share a scale. `accuracy` 4 multiplies in int8, which is fast and can flip close answers; 0
    multiplies in float. Blocks over 256 are not offered: onnxruntime answered zeros for 512."""

    bits: Literal[4, 8] = 8
    block: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = True
    accuracy: Literal[0, 4] = 4
    exclude: tuple[str, ...] = ()


class WeightOnly:
    """onnxruntime's MatMulNBits."""

    name: ClassVar[str] = "weight-only"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = Blocks

    def inapplicable(self, before: Artifact, material: Material, parameters: Blocks) -> str | None:
        return checks.quantized_already(before.model) or checks.no_weights(before.model, ("MatMul", "Gemm"))

    def apply(
        self, before: Artifact, material: Material, parameters: Blocks, folder: Path, report: Report = silent
    ) -> Artifact:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
        from onnxruntime.quantization.onnx_model import ONNXModel

        logging.getLogger().setLevel(logging.ERROR)
        prepared = checks.prepare(before.model, folder, fold=False)
        checks.check_names(prepared, parameters.exclude)
        model = ONNXModel(onnx_files.load(prepared))
        model.replace_gemm_with_matmul()
        try:
            quantizer = MatMulNBitsQuantizer(
                model.model,
                bits=parameters.bits,
                block_size=parameters.block,
                is_symmetric=parameters.symmetric,
                accuracy_level=parameters.accuracy,
                nodes_to_exclude=sorted(parameters.exclude),
            )
            quantizer.process()
        except Exception as error:
            raise StepFailed(
                f"The quantizer failed: {' '.join(str(error).split())[:300]}", where=str(before.model)
            ) from error
        return Artifact(onnx_files.save(quantizer.model.model, folder))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.quantized(before, after)
