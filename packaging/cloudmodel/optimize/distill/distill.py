"""Distillation: a smaller student learns the labels and the original's answers (Hinton, Vinyals, Dean 2015).

The student is a factory of the project's, or the original made narrower and shallower. Needs the extra `torch`, the
PyTorch model and training data.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters
from cloudmodel.optimize.training import needs

Weight = Annotated[float, Field(ge=0)]


class Student(Parameters):
    """`student` is a factory `module:function` of the project's; without it, the original with the part `width` of
    every layer's channels (in multiples of `round_to`) and the part `depth` of its repeated layers.

    The loss is the sum of `labels` times cross-entropy, `soft_targets` times T² · KL at `temperature`, `logits` times
    the squared error of the logits and `features` times that of what goes into the last linear layer.
    """

    student: str | None = None
    width: Annotated[float, Field(gt=0, le=1)] = 0.5
    depth: Annotated[float, Field(gt=0, le=1)] = 1.0
    round_to: Annotated[int, Field(ge=1, le=64)] = 8
    epochs: Annotated[int, Field(ge=1, le=1000)] = 30
    batch: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    patience: Annotated[int, Field(ge=1)] = 8
    temperature: Annotated[float, Field(gt=0)] = 4.0
    labels: Weight = 0.3
    soft_targets: Weight = 0.7
    logits: Weight = 0.0
    features: Weight = 0.0


class Distill:
    """A plain loop of gradient descent, stopped by the project's own metric."""

    name: ClassVar[str] = "distill"
    family: ClassVar[Family] = "distill"
    parameters: ClassVar[type[Parameters]] = Student

    def inapplicable(self, before: Artifact, material: Material, parameters: Student) -> str | None:
        if parameters.student is None and parameters.width == parameters.depth == 1:
            return "the student would be the original: give a width or depth below 1, or a student"
        return needs.training(before, material)

    def apply(
        self, before: Artifact, material: Material, parameters: Student, folder: Path, report: Report = silent
    ) -> Artifact:
        from cloudmodel.formats.pytorch import modules, source
        from cloudmodel.optimize.training import step, student
        from cloudmodel.optimize.training.loop import Plan
        from cloudmodel.optimize.training.loss import Mix
        from cloudmodel.optimize.training.trained import Trained

        given = parameters
        mix = Mix(
            temperature=given.temperature, labels=given.labels, soft_targets=given.soft_targets, logits=given.logits,
            features=given.features,
        )  # fmt: skip
        plan = Plan(
            epochs=given.epochs, batch=given.batch, optimizer=given.optimizer, learning_rate=given.learning_rate,
            patience=given.patience, seed=material.seed,
        )  # fmt: skip
        with modules.quiet(material.threads, material.seed):
            desk = step.prepare(before, material)
            inputs = modules.example(desk.rows.learn.inputs, material.signature)
            if given.student is not None:
                after = Trained(source.build(given.student, material.folder), given.student)
                _same_answers(desk.original, after.module, inputs, given.student)
            else:
                module = copy.deepcopy(desk.before.module)
                edits = student.make(module, inputs, width=given.width, depth=given.depth, round_to=given.round_to)
                after = Trained(module, desk.before.factory, (*desk.before.edits, *edits))
            history = step.teach(after.module, desk, material, mix, plan, step.checkpoint(material, folder, 0), report)
            return step.finish(after, desk, material, folder, history)

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        from cloudmodel.optimize.training import step

        return step.smaller(before, after)


def _same_answers(original: Any, student: Any, inputs: Sequence[Any], factory: str) -> None:
    from cloudmodel.formats.pytorch import modules

    wanted, found = modules.shapes(modules.call(original, inputs)), modules.shapes(modules.call(student, inputs))
    if wanted != found:
        raise StepFailed(
            f"The student answers {[list(each) for each in found]}, the original {[list(each) for each in wanted]}",
            where=factory,
            hint="both take the same inputs and give the same outputs",
        )
