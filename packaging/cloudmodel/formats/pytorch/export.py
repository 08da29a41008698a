"""From a PyTorch module to ONNX: the exporter of torch.export first, the older TorchScript exporter as the second."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import export as exporting
from cloudmodel.formats import onnx_files, samples
from cloudmodel.formats.export import IR_VERSION, OPSET, Exported
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Asked, Exporter
from cloudmodel.formats.pytorch import modules
from cloudmodel.formats.pytorch.modules import Arrays, Module, Tensor
from cloudmodel.formats.signatures import observed

LARGEST = 2_000_000_000
"""Bytes of weights that still fit into one protobuf, with their graph beside them."""
NOTES = frozenset({"stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"})
"""Where a node came from: names of files and lines of the machine that exported it."""


def export(module: Module, arrays: Arrays, signature: Signature, folder: Path) -> Exported:
    """Write `model.onnx` into `folder`: opset 20, IR 10, the signature's names and open dimensions.

    `arrays` holds real rows of every input, at least one. Raises StepFailed with both exporters' reasons.
    """
    module.eval()
    return exporting.export(exporters(module), _asked(module, arrays, signature), folder, where=type(module).__name__)


def exporters(module: Module) -> Mapping[str, Exporter]:
    """Both exporters for a module; a scripted one has no Python for the first to follow."""
    scripted = isinstance(module, torch.jit.ScriptModule)
    chosen: dict[str, Exporter] = {} if scripted else {"dynamo": partial(_dynamo, module)}
    return {**chosen, "torchscript": partial(_torchscript, module)}


def _asked(module: Module, arrays: Arrays, signature: Signature) -> Asked:
    """The module's answers to rows of `arrays` on every batch size."""
    requests, answers = [], []
    for batch in samples.BATCHES:
        request = {tensor.name: _rows(arrays[tensor.name], batch) for tensor in signature.inputs}
        requests.append(request)
        answers.append(modules.answer(module, request, signature))
    sizes = [samples.sizes_of(signature, request) for request in requests]
    return Asked(observed(signature, answers, sizes), requests, answers, sizes)


def _rows(array: Any, batch: int) -> Any:
    return array[np.arange(batch) % len(array)]


def _example(asked: Asked) -> tuple[Tensor, ...]:
    """Two rows where the batch is open (an exporter takes a batch of one for a fixed size), else a whole request."""
    largest = asked.requests[-1]
    return modules.tensors(
        {
            tensor.name: largest[tensor.name][:2]
            if tensor.shape and isinstance(tensor.shape[0], str)
            else largest[tensor.name]
            for tensor in asked.signature.inputs
        },
        asked.signature,
    )


def save_program(module: Module, asked: Asked, path: Path) -> None:
    """Write the module as a program of torch.export: the graph and the weights, without the example that it was made
    with and without lines of anyone's source. Raises StepFailed."""
    try:
        program = torch.export.export(module, _example(asked), dynamic_shapes=_dynamic(module, asked), strict=False)
        for graph in program.graph_module.modules():
            for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
                for note in NOTES & node.meta.keys():
                    del node.meta[note]
        program._example_inputs = None
        with path.open("wb") as file:
            torch.export.save(program, file)
    except Exception as error:  # an exporter fails in every way there is
        raise StepFailed(
            f"torch.export cannot follow it: {type(error).__name__}: {modules.line(error, 200)}",
            hint="leave out control flow that depends on values; or compile it yourself (torch.jit.script), and name "
            "that file as model.source",
        ) from None


def _dynamic(module: Module, asked: Asked) -> Any:
    """Which sizes are open, as torch.export is told."""
    batch = torch.export.Dim("batch", min=1)
    shapes = [
        {
            place: batch if place == 0 else torch.export.Dim.DYNAMIC
            for place, size in enumerate(tensor.shape)
            if isinstance(size, str)
        }
        for tensor in asked.signature.inputs
    ]
    return _nested(module, shapes)


def _dynamo(module: Module, asked: Asked, folder: Path) -> Path:
    program = torch.onnx.export(
        module, _example(asked), dynamo=True, opset_version=OPSET, dynamic_shapes=_dynamic(module, asked),
        verbose=False, input_names=[tensor.name for tensor in asked.signature.inputs],
        output_names=[tensor.name for tensor in asked.signature.outputs],
    )  # fmt: skip
    if bytes_of(module) >= onnx_files.MOST_INLINE:
        program.save(str(folder / onnx_files.MODEL), external_data=True)  # tensor by tensor
        return onnx_files.tidy(folder / onnx_files.MODEL, IR_VERSION)
    model = program.model_proto
    model.ir_version = IR_VERSION
    return onnx_files.save(model, folder)


def bytes_of(module: Module) -> int:
    """The bytes of a module's weights."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def _torchscript(module: Module, asked: Asked, folder: Path) -> Path:
    if (held := bytes_of(module)) >= LARGEST:
        raise StepFailed(f"it writes one file of at most 2 GiB, and the weights take {held / (1 << 30):.1f}")
    tensors = (*asked.signature.inputs, *asked.signature.outputs)
    axes = {
        tensor.name: {place: size for place, size in enumerate(tensor.shape) if isinstance(size, str)}
        for tensor in tensors
    }
    buffer = io.BytesIO()
    torch.onnx.export(
        module, _example(asked), buffer, dynamo=False, opset_version=OPSET, dynamic_axes=axes,
        input_names=[tensor.name for tensor in asked.signature.inputs],
        output_names=[tensor.name for tensor in asked.signature.outputs],
    )  # fmt: skip
    return onnx_files.save(onnx.load_from_string(buffer.getvalue()), folder)


def _nested(module: Module, shapes: Sequence[dict[int, Any]]) -> Any:
    """One entry a parameter of `forward`: those of *args are one tuple."""
    import inspect

    first = next(iter(inspect.signature(module.forward).parameters.values()), None)
    if first is not None and first.kind is inspect.Parameter.VAR_POSITIONAL:
        return (tuple(shapes),)
    return tuple(shapes)
