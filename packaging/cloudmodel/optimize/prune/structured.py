"""Structured pruning: whole channels leave the network, so the exported graph is smaller and does less.

What is left learns again from the labels and from the original (`distill`'s losses). Needs the extra `torch`, the
PyTorch model and training data.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters
from cloudmodel.optimize.training import needs


class Channels(Parameters):
    """`ratio` of the channels go, ranked by `importance`: the group's L2 norm, or the first-order Taylor term of the
    loss. What is left is a multiple of `round_to`, for an odd number of channels can be slower than more of them.
    `everywhere` ranks layers of one kind together. `steps` cuts are made, with `epochs` of training after each.
    """

    ratio: Annotated[float, Field(gt=0, lt=0.95)] = 0.5
    importance: Literal["norm", "taylor"] = "norm"
    round_to: Annotated[int, Field(ge=1, le=64)] = 8
    everywhere: bool = True
    steps: Annotated[int, Field(ge=1, le=10)] = 1
    epochs: Annotated[int, Field(ge=0, le=1000)] = 15
    batch: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    patience: Annotated[int, Field(ge=1)] = 5
    temperature: Annotated[float, Field(gt=0)] = 4.0
    labels: Annotated[float, Field(ge=0)] = 0.3
    soft_targets: Annotated[float, Field(ge=0)] = 0.7


class Prune:
    """Channels by torch-pruning, batch normalization estimated again, training with distillation from the original."""

    name: ClassVar[str] = "prune"
    family: ClassVar[Family] = "prune"
    parameters: ClassVar[type[Parameters]] = Channels

    def inapplicable(self, before: Artifact, material: Material, parameters: Channels) -> str | None:
        return needs.training(before, material)

    def apply(
        self, before: Artifact, material: Material, parameters: Channels, folder: Path, report: Report = silent
    ) -> Artifact:
        from cloudmodel.formats.pytorch import modules
        from cloudmodel.optimize.training import cutting, step
        from cloudmodel.optimize.training.loop import Plan
        from cloudmodel.optimize.training.loss import Mix
        from cloudmodel.optimize.training.trained import Trained

        mix = Mix(temperature=parameters.temperature, labels=parameters.labels, soft_targets=parameters.soft_targets)
        with modules.quiet(material.threads, material.seed):
            desk = step.prepare(before, material)
            learn = desk.rows.learn
            inputs = modules.example(learn.inputs, material.signature)
            every = modules.tensors(learn.inputs, material.signature)
            module, edits, history = copy.deepcopy(desk.before.module), desk.before.edits, None
            # The same part of what is left at every step: (1 - ratio) in the end.
            part = 1 - (1 - parameters.ratio) ** (1 / parameters.steps)
            for number in range(parameters.steps):
                report(Progress("prune", number, parameters.steps))
                taught = step.lesson_of(module, desk, material, mix)
                pruned = cutting.cut(
                    module, inputs, ratio=part, importance=parameters.importance, round_to=parameters.round_to,
                    everywhere=parameters.everywhere, loss=partial(_loss, taught, len(learn)),
                )  # fmt: skip
                edits = (*edits, pruned)
                starts = range(0, min(len(learn), 2048), 64)
                cutting.settle(module, [[each[start : start + 64] for each in every] for start in starts])
                if parameters.epochs:
                    plan = Plan(
                        epochs=parameters.epochs, batch=parameters.batch, optimizer=parameters.optimizer,
                        learning_rate=parameters.learning_rate, patience=parameters.patience, seed=material.seed,
                    )  # fmt: skip
                    history = step.teach(
                        module, desk, material, mix, plan, step.checkpoint(material, folder, number), report
                    )
            return step.finish(Trained(module, desk.before.factory, edits), desk, material, folder, history)

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        from cloudmodel.optimize.training import step

        return step.smaller(before, after)


def _loss(lesson: Callable[[Any], Any], count: int) -> Any:
    import torch

    return lesson(torch.arange(min(count, 512)))
