"""A program of torch.export (`.pt2`): a graph with its shapes, no Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cloudmodel.core.errors import ModelUnreadable, Unsupported
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Job
from cloudmodel.formats.pytorch.modules import line
from cloudmodel.formats.pytorch.original import ModuleOriginal, settle


def open_model(job: Job) -> ModuleOriginal:
    """Load the file. What it takes stands in it: a size that was left open at export is a word. Raises ModelUnreadable,
    Unsupported."""
    settle()
    try:
        program = torch.export.load(str(job.path))
        module = program.module()
    except Exception as error:  # a damaged archive fails in every way there is
        raise ModelUnreadable(f"PyTorch cannot load it: {line(error)}", where=str(job.path)) from None
    return ProgramOriginal(module, _signature(program, str(job.path)), {"class": "ExportedProgram"})


class ProgramOriginal(ModuleOriginal):
    """A program's module is always as it was exported; it has no evaluation mode."""

    def __init__(self, module: Any, signature: Signature, facts: dict[str, Any]) -> None:
        module.eval = lambda: module
        super().__init__(module, signature, facts)


def _signature(program: Any, where: str) -> Signature:
    """The tensors that a caller gives, in order."""
    wanted = program.graph_signature.user_inputs
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = []
    for name in wanted:
        value = values.get(name)
        if not isinstance(value, torch.Tensor):
            raise Unsupported(
                f"Input {name!r} is {type(value).__name__}, not a tensor",
                where=where,
                hint="export it with tensors only",
            )
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        inputs.append(Tensor(name=name, dtype=str(value.dtype).removeprefix("torch."), shape=shape))
    return Signature(inputs=_plainly(inputs), outputs=())


def _plainly(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same inputs, with the size that all begin with called `batch`: the file keeps none of the names that it was
    exported with, only symbols such as s77."""
    firsts = {tensor.shape[0] if tensor.shape else 1 for tensor in inputs}
    if len(firsts) != 1 or isinstance(first := firsts.pop(), int):
        return tuple(inputs)
    return tuple(
        tensor.model_copy(update={"shape": tuple("batch" if size == first else size for size in tensor.shape)})
        for tensor in inputs
    )
