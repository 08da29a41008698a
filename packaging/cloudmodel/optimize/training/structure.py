"""What was changed in a model's structure, as data: which channels were cut, which layers were left out. Done again on
a fresh model of the same factory, it gives the same structure, so that a changed model is kept without a pickle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
import torch_pruning
from pydantic import Field

from cloudmodel.core.errors import ModelUnreadable
from cloudmodel.formats.model import Frozen
from cloudmodel.formats.pytorch.modules import Module, Tensor, line


class Cut(Frozen):
    """Channels taken out of one layer and of all that depend on it."""

    layer: str
    out: bool
    channels: tuple[int, ...]


class Pruned(Frozen):
    """Cuts in the order in which they were made."""

    kind: Literal["pruned"] = "pruned"
    cuts: tuple[Cut, ...]


class Shortened(Frozen):
    """The children of a Sequential or ModuleList that were kept."""

    kind: Literal["shortened"] = "shortened"
    container: str
    kept: tuple[int, ...]


Edit = Annotated[Pruned | Shortened, Field(discriminator="kind")]


def graph_of(module: Module, inputs: Sequence[Tensor]) -> Any:
    """torch-pruning's graph of which layers depend on which. The model is left in evaluation mode."""
    module.eval()
    with torch.enable_grad():
        # Weights that do not learn leave no trace in autograd's graph, which is what is followed.
        frozen = [each for each in module.parameters() if not each.requires_grad]
        for each in frozen:
            each.requires_grad_(True)
        try:
            return torch_pruning.DependencyGraph().build_dependency(
                module, example_inputs=tuple(inputs), forward_fn=lambda model, given: model(*given), verbose=False
            )
        finally:
            for each in frozen:
                each.requires_grad_(False)


def prune(module: Module, cuts: Sequence[Cut], inputs: Sequence[Tensor]) -> None:
    """Make the cuts, in place. Raises ModelUnreadable where they do not fit the model."""
    graph = graph_of(module, inputs)
    try:
        for cut in cuts:
            layer = module.get_submodule(cut.layer)
            pruner = graph.get_pruner_of_module(layer)
            handler = pruner.prune_out_channels if cut.out else pruner.prune_in_channels
            graph.get_pruning_group(layer, handler, list(cut.channels)).prune(record_history=False)
    except Exception as error:
        raise ModelUnreadable(
            f"The recorded cuts do not fit the model: {type(error).__name__}: {line(error)}",
            hint="the factory in model.source builds another model than before; optimize again",
        ) from error


def shorten(module: Module, container: str, kept: Sequence[int]) -> None:
    """Leave only the children `kept` of a container, in place. Raises ModelUnreadable."""
    try:
        inside = module.get_submodule(container)
        places = range(len(inside))
        if not set(kept) <= set(places):
            raise IndexError(f"{container or 'the model'} has {len(inside)} layers")
        for place in reversed(places):
            if place not in kept:
                del inside[place]
    except (AttributeError, IndexError, TypeError) as error:
        raise ModelUnreadable(f"The model has no such layers any more: {line(error)}", where=container) from None


def repeat(module: Module, edits: Sequence[Edit], inputs: Sequence[Tensor]) -> Module:
    """The module with every edit made again, in place. Raises ModelUnreadable."""
    for edit in edits:
        if isinstance(edit, Pruned):
            prune(module, edit.cuts, inputs)
        elif isinstance(edit, Shortened):
            shorten(module, edit.container, edit.kept)
    return module.eval()
