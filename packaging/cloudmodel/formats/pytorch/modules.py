"""Calling a PyTorch model as its ONNX form is called: inputs in the signature's order, outputs as a flat tuple."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.model import Signature

Tensor = Any
Module = Any
Arrays = Mapping[str, NDArray[Any]]
NORMALIZATIONS = (torch.nn.modules.batchnorm._BatchNorm,)


@contextmanager
def quiet(threads: int = 1, seed: int = 0) -> Iterator[None]:
    """One seeded stretch of work on `threads` threads that leaves the caller's own generator and threads as they were.

    More threads than free cores are many times slower than one: they spin while they wait for each other.
    """
    before = torch.get_num_threads()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.set_num_threads(threads)
    # The fused kernel of inference has no gradient, no graph to follow and no ONNX form.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
        torch.backends.mha.set_fastpath_enabled(fast)


def tensors(arrays: Arrays, signature: Signature) -> tuple[Tensor, ...]:
    """The arrays of all inputs, in order. Raises StepFailed for strings, which PyTorch has not."""
    for tensor in signature.inputs:
        if tensor.dtype == "str":
            raise StepFailed(
                f"Input {tensor.name!r} holds strings", hint="a PyTorch model takes numbers: tokenize outside it"
            )
    return tuple(torch.from_numpy(np.ascontiguousarray(arrays[tensor.name])) for tensor in signature.inputs)


def call(module: Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The model's output tensors, flat and in order; mappings and data classes of outputs give their values.

    Raises StepFailed where it does not take these inputs or answers with something else than tensors.
    """
    try:
        answer = module(*inputs)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        IndexError,
        NotImplementedError,
        AttributeError,
        AssertionError,
    ) as error:
        shapes = ", ".join(f"{str(each.dtype).removeprefix('torch.')}{list(each.shape)}" for each in inputs)
        raise StepFailed(
            f"The PyTorch model fails on ({shapes}): {type(error).__name__}: {line(error)}",
            where=type(module).__name__,
            hint="its forward takes the tensors of model.inputs, in that order",
        ) from error
    found = tuple(_flat(answer))
    if not found:
        raise StepFailed(
            f"The PyTorch model answers with {type(answer).__name__}, not with tensors", where=type(module).__name__
        )
    return found


def answer(module: Module, request: Arrays, signature: Signature) -> dict[str, NDArray[Any]]:
    """Every output to one request, by name. Raises what `call` raises."""
    with torch.no_grad():
        found = call(module, tensors(request, signature))
    return dict(zip(output_names(signature, len(found)), [each.numpy(force=True) for each in found], strict=True))


def answers(module: Module, arrays: Arrays, signature: Signature, batch: int = 256) -> dict[str, NDArray[Any]]:
    """Every output to all rows, by the signature's names, computed in evaluation mode."""
    was_training = module.training
    module.eval()
    inputs = tensors(arrays, signature)
    parts: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        for start in range(0, len(inputs[0]), batch):
            parts.append(call(module, [each[start : start + batch] for each in inputs]))
    module.train(was_training)
    names = output_names(signature, len(parts[0]))
    return {name: torch.cat([part[place] for part in parts]).numpy() for place, name in enumerate(names)}


def output_names(signature: Signature, count: int) -> list[str]:
    """The names of `count` outputs: the signature's, or made up where it has none. Raises StepFailed."""
    if not signature.outputs:
        return ["output"] if count == 1 else [f"output_{place}" for place in range(count)]
    if len(signature.outputs) != count:
        raise StepFailed(
            f"The PyTorch model has {count} outputs, the signature has {len(signature.outputs)}",
            hint="return as many tensors as the model that was packaged",
        )
    return [tensor.name for tensor in signature.outputs]


def example(arrays: Arrays, signature: Signature, rows: int = 2) -> tuple[Tensor, ...]:
    """The first `rows` rows, repeated where there are fewer."""
    index = np.arange(rows)
    return tensors(
        {tensor.name: arrays[tensor.name][index % len(arrays[tensor.name])] for tensor in signature.inputs}, signature
    )


def shapes(outputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """The shapes of tensors."""
    return [tuple(each.shape) for each in outputs]


def parameters(module: Module) -> int:
    """How many numbers the model learned."""
    return sum(int(each.numel()) for each in module.parameters())


def macs(module: Module, inputs: Sequence[Tensor]) -> int:
    """Multiply-adds of convolutions and matrix products for one row, counted by PyTorch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    was_training = module.training
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call(module, [each[:1] for each in inputs])
    module.train(was_training)
    return int(counter.get_total_flops()) // 2


def line(error: BaseException, length: int = 300) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())[:length]


def _flat(answer: Any) -> Iterator[Tensor]:
    if isinstance(answer, torch.Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for each in answer.values():
            yield from _flat(each)
    elif isinstance(answer, list | tuple):
        for each in answer:
            yield from _flat(each)
