"""A smaller model made from the teacher itself: fewer layers, narrower ones. It begins with the teacher's weights,
which learn faster than fresh ones (Sanh and others 2019, "DistilBERT", section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.pytorch import modules
from cloudmodel.formats.pytorch.modules import Module, Tensor
from cloudmodel.optimize.training import cutting, structure
from cloudmodel.optimize.training.structure import Edit, Shortened


def make(module: Module, inputs: Sequence[Tensor], *, width: float, depth: float, round_to: int) -> tuple[Edit, ...]:
    """Keep the part `depth` of every run of layers and the part `width` of every layer's channels, in place.

    Returns what was done. Raises StepFailed where the model has nothing to leave out.
    """
    edits: list[Edit] = []
    if depth < 1:
        edits += shorten(module, inputs, depth)
    if width < 1:
        edits.append(
            cutting.cut(module, inputs, ratio=1 - width, importance="norm", round_to=round_to, everywhere=False)
        )
    return tuple(edits)


def shorten(module: Module, inputs: Sequence[Tensor], depth: float) -> list[Shortened]:
    """Leave layers out of every Sequential and ModuleList, evenly, down to the part `depth` of those with weights.

    Only a layer that was called once and answered in the shape of its input can go: blocks of a residual network,
    layers of an encoder, square layers of a perceptron. Raises StepFailed where there is none, or where the model does
    not run without them.
    """
    wanted = modules.shapes(_run(module, inputs))
    passing = _passing(module, inputs)
    made = []
    for name, container in [(name, each) for name, each in module.named_modules() if _holds(each)]:
        children = list(container.children())
        weighty = [place for place, child in enumerate(children) if _weighs(child)]
        free = [place for place in weighty if children[place] in passing]
        least = max(1, round(len(weighty) * depth))
        stay = len(free) - min(len(free), len(weighty) - least)
        if not free or stay == len(free):
            continue
        # A run of equal layers keeps its ends; where other layers keep it standing, none of them has to stay.
        chosen = {free[int(place)] for place in np.linspace(0, len(free) - 1, stay).round()} if stay else set()
        kept = [place for place in range(len(children)) if place not in free or place in chosen]
        made.append(Shortened(container=name, kept=tuple(kept)))
    # What lies inside a layer that goes needs no shortening of its own, and places outside come first.
    made = [each for each in made if not _inside_dropped(each, made)]
    for each in sorted(made, key=lambda one: one.container.count("."), reverse=True):
        structure.shorten(module, each.container, each.kept)
    if not made:
        raise StepFailed(
            f"The model has no layers that can be left out at a depth of {depth}",
            where=type(module).__name__,
            hint="layers that repeat go into a Sequential or ModuleList; or give a student of your own",
        )
    try:
        found = modules.shapes(_run(module, inputs))
    except StepFailed as error:
        raise StepFailed(
            f"The model does not run without the layers left out of {', '.join(each.container for each in made)}:"
            f" {error.message}",
            where=type(module).__name__,
            hint="give a student of your own: {technique: distill, student: 'module:factory'}",
        ) from error
    if found != wanted:
        raise StepFailed("The shortened model answers in other shapes", where=type(module).__name__)
    return sorted(made, key=lambda one: one.container.count("."), reverse=True)


def _passing(module: Module, inputs: Sequence[Tensor]) -> set[Module]:
    """The layers that were called once and gave what they took: one tensor (or a tuple that begins with one) of the
    same shape and dtype. The layer that gives the model's own answer is none of them."""
    calls: dict[Module, int] = {}
    passing: set[Module] = set()
    given: dict[Module, Tensor] = {}

    def hear(layer: Module, taken: Sequence[Tensor], answer: Tensor) -> None:
        calls[layer] = calls.get(layer, 0) + 1
        first = answer[0] if isinstance(answer, tuple) and answer else answer
        if not (taken and isinstance(taken[0], torch.Tensor) and isinstance(first, torch.Tensor)):
            return
        given[layer] = first
        if taken[0].shape == first.shape and taken[0].dtype == first.dtype:
            passing.add(layer)

    handles = [each.register_forward_hook(hear) for each in module.modules() if each is not module]
    try:
        outputs = _run(module, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {layer for layer in passing if calls[layer] == 1 and not any(given[layer] is output for output in outputs)}


def _holds(module: Module) -> bool:
    return type(module) in (torch.nn.Sequential, torch.nn.ModuleList) and len(list(module.children())) > 1


def _weighs(layer: Module) -> bool:
    """Whether it has matrices or kernels: a normalization alone is no layer that could be left out."""
    return any(each.ndim > 1 for each in layer.parameters())


def _inside_dropped(one: Shortened, every: Sequence[Shortened]) -> bool:
    for other in every:
        prefix = f"{other.container}." if other.container else ""
        if one is other or not one.container.startswith(prefix):
            continue
        child = one.container.removeprefix(prefix).split(".")[0]
        if child.isdigit() and int(child) not in other.kept:
            return True
    return False


def _run(module: Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    module.eval()
    with torch.no_grad():
        return modules.call(module, inputs)
