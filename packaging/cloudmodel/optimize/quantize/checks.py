"""What is looked at before a quantizer starts: onnxruntime takes wrong names, a model that is quantized already and
weights that it cannot see without a word, and finds out about data and types in the middle of the work."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import choose, onnx_files
from cloudmodel.optimize.technique import Artifact, Material

WEIGHTED = {"MatMul": (0, 1), "Gemm": (1,), "Conv": (1,), "ConvTranspose": (1,), "Gather": (0,), "LSTM": (1, 2),
            "Attention": (1,), "EmbedLayerNormalization": (2, 3, 4)}  # fmt: skip
"""Which inputs of an operator may be weights."""
KERAS = "keras"
"""The format of Keras files, as `formats.choose` calls it."""
OLDEST = 13
"""The first operator set with quantization by channel."""


def quantized_already(model: Path) -> str | None:
    """Why this model cannot be quantized again, or None."""
    census = onnx_files.census(model)
    if not census.quantized:
        return None
    kinds = sorted(name for name in census.operators if name in onnx_files.QUANTIZED)
    return f"it is quantized already: {census.quantized} nodes such as {kinds[0]}; start from the float model"


def no_weights(model: Path, operators: Sequence[str]) -> str | None:
    """Why none of `operators` has weights in this model, naming the first node that lacks them; None where one has."""
    graph = onnx_files.load(model, weights=False).graph
    constant = onnx_files.constants(graph)
    seen = None
    for node in graph.node:
        if node.op_type not in operators or node.op_type not in WEIGHTED:
            continue
        if any(place < len(node.input) and node.input[place] in constant for place in WEIGHTED[node.op_type]):
            return None
        seen = seen or node
    if seen is None:
        return f"the graph has none of {', '.join(operators)}"
    makers = {name: node for node in graph.node for name in node.output}
    place = WEIGHTED[seen.op_type][-1]
    tensor = seen.input[place] if place < len(seen.input) else seen.input[-1]
    maker = makers.get(tensor)
    made = f"computed by {maker.op_type} {maker.name!r}" if maker is not None else "an input of the model"
    return f"no constant weights: input {tensor!r} of {seen.op_type} {seen.name!r} is {made}"


def no_keras_file(before: Artifact, material: Material, needed: str) -> str | None:
    """Why there is no Keras file to begin with, or None; `needed` names it and how it is given."""
    file = None if material.source is None or material.source.factory else material.source.weights
    if file is None or not file.is_file() or choose.find(file).format != KERAS:
        return f"not applicable, needs the {needed}"
    if before.trained is None:
        return "not applicable after a step that changed the ONNX file alone: put it first"
    return None


def prepare(model: Path, folder: Path, *, fold: bool = True) -> Path:
    """A copy that quantizers understand: weights as initializers and not as Constant nodes, every node with a name of
    its own, shapes inferred, an operator set that has quantization by channel. Raises StepFailed.

    With `fold`, batch normalization goes into the convolution before it, and a MatMul with its bias becomes a Gemm, as
    onnxruntime would do on loading: quantized first, they could not any more.
    """
    from onnx import version_converter
    from onnxruntime.quantization.shape_inference import quant_pre_process

    loaded = onnx_files.load(model)
    opset = onnx_files.census(model).opset
    try:
        if 0 < opset < OLDEST:
            loaded = version_converter.convert_version(loaded, OLDEST)
        onnx_files.lift_constants(loaded)
        onnx_files.name_nodes(loaded)
        source = onnx_files.save(loaded, folder)
        target = folder / "prepared.onnx"
        simple = _basic(source, folder) if fold else onnx_files.load(source)
        quant_pre_process(simple, target, skip_optimization=True, skip_symbolic_shape=True)
    except Exception as error:
        raise StepFailed(
            f"It cannot be prepared for quantization: {' '.join(str(error).split())[:300]}", where=str(model)
        ) from error
    prepared = onnx_files.load(target)
    onnx_files.name_nodes(prepared)
    target.unlink()
    return onnx_files.save(prepared, folder)


def transposed(node: Any) -> bool:
    """Whether a node is a Gemm that holds its weights as [out, in]."""
    return node.op_type == "Gemm" and any(each.name == "transB" and each.i for each in node.attribute)


def check_finite(name: str, values: Any, where: str) -> None:
    """Raises StepFailed where what an activation reaches for the calibration rows of the file `where` is no number."""
    if not np.isfinite(np.asarray(values, dtype=np.float64)).all():
        raise StepFailed(
            f"Activation {name!r} is NaN or infinite for some calibration row",
            where=where,
            hint="look for that row, or for a division by zero in the model",
        )


def check_names(model: Path, exclude: Sequence[str]) -> None:
    """Raises StepFailed for a node to exclude that the prepared graph does not have."""
    names = {node.name for node in onnx_files.load(model).graph.node}
    for name in exclude:
        if name not in names:
            near = ", ".join(get_close_matches(name, names, n=3))
            raise StepFailed(
                f"There is no node {name!r} to exclude",
                where=str(model),
                hint=f"did you mean {near}?" if near else f"the prepared graph has {', '.join(sorted(names)[:10])}, …",
            )


def _basic(source: Path, folder: Path) -> Any:
    """The model after onnxruntime's BASIC passes; quant_pre_process does the same and swallows their failure."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    written = folder / "basic.onnx"
    options.optimized_model_filepath = str(written)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx_files.load(written)
    written.unlink()
    return model
