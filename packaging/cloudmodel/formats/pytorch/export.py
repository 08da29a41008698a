"""From a PyTorch module to an ONNX file that onnxruntime loads and that answers alike on three batch sizes.

The exporter of torch.export comes first; where it fails, or writes a file that is refused or answers otherwise, the
older TorchScript exporter follows, and the reason is recorded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from cloudmodel.core.errors import CloudmodelError, StepFailed
from cloudmodel.formats import onnx_files
from cloudmodel.formats.model import Signature
from cloudmodel.formats.pytorch import modules
from cloudmodel.formats.pytorch.modules import Arrays, Module, Tensor
from cloudmodel.formats.session import open_session

OPSET = 20
IR_VERSION = 10
"""What the oldest serving container of ours still loads."""
BATCHES = (1, 3, 8)
ABSOLUTE, RELATIVE = 1e-4, 1e-3
"""An answer agrees where |difference| <= ABSOLUTE * largest + RELATIVE * |answer|: sums come in another order."""


@dataclass(frozen=True)
class Exported:
    """The file, who wrote it, why the first exporter did not (empty where it did), and the largest difference to the
    module, over the largest answer."""

    model: Path
    exporter: str
    reason: str
    worst: float


def export(module: Module, arrays: Arrays, signature: Signature, folder: Path) -> Exported:
    """Write `model.onnx` into `folder`: opset 20, IR 10, the signature's names and open dimensions.

    `arrays` holds real rows of every input, at least one. Raises StepFailed with both exporters' reasons.
    """
    module.eval()
    reasons = []
    for name, exporter in EXPORTERS.items():
        try:
            with _silence():
                model = exporter(module, arrays, signature)
            path = onnx_files.save(_finished(model, signature), folder)
            worst = compare(module, path, arrays, signature)
        except Exception as error:  # an exporter fails in every way there is
            reasons.append(f"{name}: {_reason(error)}")
            continue
        return Exported(path, name, "; ".join(reasons), worst)
    raise StepFailed(
        f"The PyTorch model cannot be exported to ONNX ({'; '.join(reasons)})",
        where=type(module).__name__,
        hint="leave out Python control flow that depends on values, and shapes that are fixed to one batch size",
    )


def compare(module: Module, path: Path, arrays: Arrays, signature: Signature) -> float:
    """The largest difference of onnxruntime's answers to the module's, over the largest answer, on BATCHES rows.

    Raises StepFailed where onnxruntime refuses the file or an answer differs in shape or by more than the tolerance.
    """
    session = open_session(path)
    worst = 0.0
    for batch in BATCHES:
        rows = {tensor.name: _rows(arrays[tensor.name], batch) for tensor in signature.inputs}
        with torch.no_grad():
            wanted = modules.call(module, modules.tensors(rows, signature))
        try:
            found = session.run(None, rows)
        except Exception as error:
            raise StepFailed(f"onnxruntime fails on a batch of {batch}: {modules.line(error, 200)}") from None
        if len(found) != len(wanted):
            raise StepFailed(f"the file has {len(found)} outputs, the model {len(wanted)}")
        for left, right in zip(wanted, found, strict=True):
            worst = max(worst, _difference(left.numpy(), np.asarray(right), batch))
    return worst


def _difference(wanted: Any, found: Any, batch: int) -> float:
    if wanted.shape != found.shape:
        raise StepFailed(f"on a batch of {batch} the file answers {list(found.shape)}, the model {list(wanted.shape)}")
    if wanted.dtype.kind != "f":
        if not np.array_equal(wanted, found):
            raise StepFailed(f"on a batch of {batch} the file answers with other values")
        return 0.0
    largest = float(np.abs(wanted).max(initial=0.0)) or 1.0
    gap = np.abs(wanted.astype(np.float64) - found)
    if not np.all(gap <= ABSOLUTE * largest + RELATIVE * np.abs(wanted)):  # NaN is no agreement
        raise StepFailed(f"on a batch of {batch} the file answers differently, by {float(gap.max()):.3g}")
    return float(gap.max(initial=0.0)) / largest


def _dynamo(module: Module, arrays: Arrays, signature: Signature) -> Any:
    batch = torch.export.Dim("batch", min=1)
    shapes = [
        {
            place: batch if place == 0 else torch.export.Dim.DYNAMIC
            for place, size in enumerate(tensor.shape)
            if isinstance(size, str)
        }
        for tensor in signature.inputs
    ]
    inputs = modules.example(arrays, signature)
    program = torch.onnx.export(
        module, tuple(inputs), dynamo=True, opset_version=OPSET, dynamic_shapes=_nested(module, shapes), verbose=False,
        input_names=[tensor.name for tensor in signature.inputs], output_names=_outputs(module, inputs, signature),
    )  # fmt: skip
    return program.model_proto


def _torchscript(module: Module, arrays: Arrays, signature: Signature) -> Any:
    inputs = modules.example(arrays, signature)
    names = _outputs(module, inputs, signature)
    axes: dict[str, dict[int, str]] = {
        tensor.name: {place: size for place, size in enumerate(tensor.shape) if isinstance(size, str)}
        for tensor in signature.inputs
    }
    axes |= {name: {0: "batch"} for name in names}
    buffer = io.BytesIO()
    torch.onnx.export(
        module, tuple(inputs), buffer, dynamo=False, opset_version=OPSET, dynamic_axes=axes,
        input_names=[tensor.name for tensor in signature.inputs], output_names=names,
    )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


EXPORTERS: Mapping[str, Callable[[Module, Arrays, Signature], Any]] = {"dynamo": _dynamo, "torchscript": _torchscript}


def _nested(module: Module, shapes: Sequence[dict[int, Any]]) -> Any:
    """One entry a parameter of `forward`: those of *args are one tuple."""
    import inspect

    first = next(iter(inspect.signature(module.forward).parameters.values()), None)
    if first is not None and first.kind is inspect.Parameter.VAR_POSITIONAL:
        return (tuple(shapes),)
    return tuple(shapes)


def _outputs(module: Module, inputs: Sequence[Tensor], signature: Signature) -> list[str]:
    with torch.no_grad():
        return modules.output_names(signature, len(modules.call(module, inputs)))


def _finished(model: Any, signature: Signature) -> Any:
    """The signature's own words for the open dimensions of the inputs, and the oldest IR version that is enough."""
    model.ir_version = IR_VERSION
    renamed: dict[str, str] = {}
    for value, tensor in zip(model.graph.input, signature.inputs, strict=True):
        for dimension, size in zip(value.type.tensor_type.shape.dim, tensor.shape, strict=True):
            if not isinstance(size, str):
                continue
            if not dimension.dim_param:
                raise StepFailed(f"the exporter fixed {size!r} of input {tensor.name!r} to {dimension.dim_value}")
            renamed[dimension.dim_param] = size
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in renamed:
                dimension.dim_param = renamed[dimension.dim_param]
    onnx.checker.check_model(model)
    return model


def _rows(array: Any, batch: int) -> Any:
    return array[np.arange(batch) % len(array)]


def _reason(error: Exception) -> str:
    if isinstance(error, CloudmodelError):
        return error.message
    return f"{type(error).__name__}: {modules.line(error, 200)}"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporters print their progress and warn of each other."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
