"""Which channels matter least, and taking them out of every layer that depends on them.

Source: Fang and others 2023, "DepGraph: Towards Any Structural Pruning" (the library torch-pruning).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch_pruning

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.pytorch import modules
from cloudmodel.formats.pytorch.modules import Module, Tensor
from cloudmodel.optimize.training import structure
from cloudmodel.optimize.training.structure import Cut, Pruned

Importance = Literal["norm", "taylor"]
KEPT_TYPES = (torch.nn.LayerNorm, torch.nn.MultiheadAttention, torch.nn.Embedding)
"""A group of channels that runs through one of these is the width of a transformer's whole stream, whose size its heads
and its positions fix: left alone."""


def cut(
    module: Module, inputs: Sequence[Tensor], *, ratio: float, importance: Importance, round_to: int, everywhere: bool,
    loss: Callable[[], Tensor] | None = None,
) -> Pruned:  # fmt: skip
    """Take `ratio` of the channels out, in place, and say which. What is left is a multiple of `round_to`.

    `everywhere` ranks the channels of all layers of one kind together (so that some layers lose more), else every layer
    loses the same part. `taylor` needs `loss`, a scalar of rows of training data. Channels of the outputs stay, and so
    does every group without which the model does not run. Raises StepFailed where nothing can be taken out.
    """
    wanted = modules.shapes(_run(module, inputs))
    ignored = keep(module, inputs, round_to, wanted)
    if importance == "taylor":
        assert loss is not None
        module.zero_grad()
        loss().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that are no layer's own: their groups are left alone
        pruner = torch_pruning.pruner.BasePruner(
            module, tuple(inputs), _importance(importance), global_pruning=everywhere, isomorphic=everywhere,
            pruning_ratio=ratio, max_pruning_ratio=0.9, round_to=round_to, ignored_layers=ignored,
            in_channel_groups={}, out_channel_groups={}, num_heads={}, forward_fn=lambda model, given: model(*given),
        )  # fmt: skip
    try:
        for group in pruner.step(interactive=True) or ():
            group.prune()
    except Exception as error:
        raise StepFailed(
            f"torch-pruning failed: {type(error).__name__}: {modules.line(error)}", where=type(module).__name__
        ) from error
    module.zero_grad()
    cuts = tuple(
        Cut(layer=layer, out=bool(out), channels=tuple(int(each) for each in channels))
        for layer, out, channels in pruner.pruning_history()
        if channels
    )
    if not cuts:
        raise StepFailed(
            f"No channels can be taken out in multiples of {round_to} at a ratio of {ratio}",
            where=type(module).__name__,
            hint="a smaller round_to, a larger ratio; or the layers are too narrow to prune",
        )
    if modules.shapes(_run(module, inputs)) != wanted:
        raise StepFailed("The pruned model answers in other shapes", where=type(module).__name__)
    return Pruned(cuts=cuts)


def keep(module: Module, inputs: Sequence[Tensor], count: int, wanted: Sequence[tuple[int, ...]]) -> list[Module]:
    """The layers that must keep their channels: cutting `count` of them out of a copy makes it fail, or changes the
    shapes of its answers from `wanted`."""
    graph = structure.graph_of(module, inputs)
    names = {each: name for name, each in module.named_modules()}
    kept = []
    for group in graph.get_all_groups(root_module_types=[torch.nn.modules.conv._ConvNd, torch.nn.Linear]):
        layer = group[0].dep.target.module
        touched = [dep.target.module for dep, _ in group if graph.is_out_channel_pruning_fn(dep.handler)]
        whole = any(isinstance(each, (*KEPT_TYPES, torch.nn.Parameter)) for each in touched)
        channels = len(group[0].idxs)
        if whole or channels <= count or not _stands(module, names[layer], count, inputs, wanted):
            kept.append(layer)
    return kept


def settle(module: Module, batches: Sequence[Sequence[Tensor]]) -> int:
    """Estimate the mean and variance of every batch normalization again, as the plain average over `batches`; returns
    how many layers there are."""
    norms = [each for each in module.modules() if isinstance(each, modules.NORMALIZATIONS) and each.track_running_stats]
    if not norms:
        return 0
    module.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all batches, not a moving one
        norm.train()
    with torch.no_grad():
        for inputs in batches:
            modules.call(module, inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
    return len(norms)


def _stands(
    module: Module, layer: str, count: int, inputs: Sequence[Tensor], wanted: Sequence[tuple[int, ...]]
) -> bool:
    trial = copy.deepcopy(module)
    try:
        structure.prune(trial, [Cut(layer=layer, out=True, channels=tuple(range(count)))], inputs)
        return modules.shapes(_run(trial, inputs)) == list(wanted)
    except Exception:  # whatever it is, this layer cannot be narrower
        return False


def _run(module: Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    module.eval()
    with torch.no_grad():
        return modules.call(module, inputs)


def _importance(name: Importance) -> Any:
    if name == "norm":
        return torch_pruning.importance.GroupMagnitudeImportance(p=2)
    return torch_pruning.importance.GroupTaylorImportance()
