"""Static int8 (QDQ): weights and activations in 8 bits, with ranges taken from calibration rows beforehand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import proof
from cloudmodel.optimize.data import check_calibration, read_npz
from cloudmodel.optimize.quantize import calibration, checks
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

Operator = Literal[
    "Add", "ArgMax", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gather", "Gemm",
    "GlobalAveragePool", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid",
    "Slice", "Softmax", "Split", "Squeeze", "Transpose", "Unsqueeze", "Where",
]  # fmt: skip
DEFAULT: tuple[Operator, ...] = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gemm", "GlobalAveragePool", "MatMul",
    "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Static(Parameters):
    """`activations`, `weights` and `reduce_range` are what a processor multiplies fast and without saturating (see
    `machine.int8`). `exclude` names nodes of the prepared graph that stay float. `constant_only` leaves a MatMul of two
    activations float, as in attention."""

    method: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: Annotated[float, Field(gt=90, le=100)] = 99.99
    per_channel: bool = True
    activations: Literal["uint8", "int8"] = "uint8"
    weights: Literal["int8", "uint8"] = "int8"
    symmetric: bool = False
    reduce_range: bool = False
    constant_only: bool = True
    operators: tuple[Operator, ...] = DEFAULT
    exclude: tuple[str, ...] = ()


class StaticInt8:
    """onnxruntime's static quantization in its QDQ form."""

    name: ClassVar[str] = "static-int8"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = Static

    def inapplicable(self, before: Artifact, material: Material, parameters: Static) -> str | None:
        if parameters.activations == "int8" and parameters.weights == "uint8":
            return "int8 activations need int8 weights"
        if material.calibration is None:
            return "there are no calibration rows; name them as optimize.calibrate"
        weighted = [name for name in parameters.operators if name in WEIGHTED]
        if not weighted:
            return f"operators must name one of {', '.join(WEIGHTED)}"
        return checks.quantized_already(before.model) or checks.no_weights(before.model, weighted)

    def apply(
        self, before: Artifact, material: Material, parameters: Static, folder: Path, report: Report = silent
    ) -> Artifact:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        logging.getLogger().setLevel(logging.ERROR)
        assert material.calibration is not None
        data = read_npz(material.calibration, material.signature)
        check_calibration(data)
        prepared = checks.prepare(before.model, folder)
        checks.check_names(prepared, parameters.exclude)
        measured = calibration.ranges(
            prepared, data, method=parameters.method, percentile=parameters.percentile,
            operators=parameters.operators, folder=folder,
        )  # fmt: skip
        written = folder / "quantized.onnx"
        types = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
        methods = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
        try:
            from onnxruntime.quantization import CalibrationMethod

            quantize_static(
                prepared,
                written,
                None,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=sorted(parameters.operators),
                per_channel=parameters.per_channel,
                reduce_range=parameters.reduce_range,
                activation_type=types[parameters.activations],
                weight_type=types[parameters.weights],
                nodes_to_exclude=sorted(parameters.exclude),
                calibrate_method=CalibrationMethod[methods[parameters.method]],
                calibration_cache_path=measured,  # ours, named by its content
                use_external_data_format=onnx_files.size_of(prepared) >= onnx_files.MOST_INLINE,
                extra_options={
                    "MatMulConstBOnly": parameters.constant_only,
                    "ActivationSymmetric": parameters.symmetric,
                },
            )
        except Exception as error:
            raise StepFailed(
                f"The quantizer failed: {' '.join(str(error).split())[:300]}", where=str(before.model)
            ) from error
        model = onnx_files.load(written)
        written.unlink()
        if measured.parent == folder:
            measured.unlink()
        return Artifact(onnx_files.save(model, folder))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.quantized(before, after)
