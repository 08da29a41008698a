"""The loss of a batch: what the labels say, and what the original model says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.model import Signature
from cloudmodel.formats.pytorch import modules
from cloudmodel.formats.pytorch.modules import Arrays, Module, Tensor
from cloudmodel.optimize import losses
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.technique import Parameters


class Mix(Parameters):
    """The weight of each loss, and the temperature of `soft_targets`. For regression there are the squared errors to
    the labels and to the original's answers, the latter with the weight of `soft_targets` and `logits` together."""

    temperature: float = losses.TEMPERATURE
    labels: float = 0.3
    soft_targets: float = 0.7
    logits: float = 0.0
    features: float = 0.0


class Lesson:
    """What a student learns from rows and a teacher, whose answers to all of them are `wanted`. Call it with the
    numbers of a batch's rows: it gives the loss.

    `projector` is the module that learns beside the student, None unless `mix.features` counts.
    """

    def __init__(
        self, student: Module, teacher: Module, wanted: Arrays, rows: Dataset, signature: Signature, mix: Mix
    ) -> None:
        self.student, self.teacher, self.mix = student, teacher, mix
        self.inputs = modules.tensors(rows.inputs, signature)
        self.floats = [place for place, name in enumerate(wanted) if wanted[name].dtype.kind == "f"]
        if not self.floats:
            raise StepFailed("The model has no output of real numbers: there is nothing to learn from")
        self.wanted = {place: torch.from_numpy(list(wanted.values())[place]) for place in self.floats}
        first = self.wanted[self.floats[0]]
        assert rows.labels is not None
        self.labels = torch.from_numpy(np.ascontiguousarray(rows.labels))
        self.classes = _classes(rows.labels, first)
        self.probabilities = self.classes and _probabilities(first)
        self.hints = _Features(student, teacher) if mix.features else None
        self.projector = None
        if self.hints is not None:
            self.projector = self.hints.projector([each[:2] for each in self.inputs])

    def __call__(self, rows: Tensor) -> Tensor:
        inputs = [each[rows] for each in self.inputs]
        found = modules.call(self.student, inputs)
        total = self._labels(found[self.floats[0]], rows) * self.mix.labels
        for place in self.floats:
            total = total + self._teacher(found[place], self.wanted[place][rows], place == self.floats[0])
        if self.hints is not None:
            total = total + self.mix.features * self.hints.loss(inputs, self.projector)
        return total

    def close(self) -> None:
        """Take the listeners off both models."""
        if self.hints is not None:
            self.hints.close()

    def _labels(self, found: Tensor, rows: Tensor) -> Tensor:
        if self.classes:
            return losses.cross_entropy(losses.as_logits(found, probabilities=self.probabilities), self.labels[rows])
        return losses.squared_error(found, self.labels[rows].to(found.dtype))

    def _teacher(self, found: Tensor, wanted: Tensor, first: bool) -> Tensor:
        """The first float output gives scores, or the numbers of a regression; every other one (an embedding) is met by
        half the squared distance a row, which is 1 - cosine for unit vectors."""
        weight = self.mix.soft_targets + self.mix.logits
        if not first:
            return losses.logits_squared_error(found, wanted) * weight
        if not self.classes:
            return losses.squared_error(found, wanted) * weight
        found = losses.as_logits(found, probabilities=self.probabilities)
        wanted = losses.as_logits(wanted, probabilities=self.probabilities)
        total = losses.soft_targets(found, wanted, self.mix.temperature) * self.mix.soft_targets
        if self.mix.logits:
            total = total + losses.logits_squared_error(found, wanted) * self.mix.logits
        return total


class _Features:
    """What goes into the last linear layer of both models."""

    def __init__(self, student: Module, teacher: Module) -> None:
        self.models = {"student": student, "teacher": teacher}
        self.seen: dict[str, Tensor] = {}
        self.handles = [
            _last_linear(model).register_forward_pre_hook(self._listen(name)) for name, model in self.models.items()
        ]

    def _listen(self, name: str) -> Callable[[Module, Sequence[Tensor]], None]:
        def hear(_: Module, inputs: Sequence[Tensor]) -> None:
            self.seen[name] = inputs[0]

        return hear

    def projector(self, inputs: Sequence[Tensor]) -> Module:
        with torch.no_grad():
            for model in self.models.values():
                model.eval()
                modules.call(model, inputs)
        widths: Mapping[str, int] = {name: int(seen.shape[-1]) for name, seen in self.seen.items()}
        return torch.nn.Linear(widths["student"], widths["teacher"])

    def loss(self, inputs: Sequence[Tensor], projector: Any) -> Tensor:
        """After the student's own call on the same inputs."""
        with torch.no_grad():
            self.models["teacher"].eval()
            modules.call(self.models["teacher"], inputs)
        return losses.features_squared_error(self.seen["student"], self.seen["teacher"], projector)

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def _last_linear(module: Module) -> Module:
    found = [each for each in module.modules() if isinstance(each, torch.nn.Linear)]
    if not found:
        raise StepFailed("The model has no linear layer whose features could be compared", hint="set features to 0")
    return found[-1]


def _classes(labels: Any, first: Tensor) -> bool:
    """Whether the labels are classes of the first float output: whole numbers below its width, one a row."""
    if labels.dtype.kind not in "iub" or first.ndim < 2:
        return False
    width = max(2, int(first.shape[-1]))
    fits = labels.size * first.shape[-1] == first.numel()
    return bool(fits and labels.size and labels.min() >= 0 and labels.max() < width)


def _probabilities(scores: Tensor) -> bool:
    if scores.shape[-1] == 1:
        return False
    return bool((scores >= 0).all()) and bool(torch.allclose(scores.sum(-1), torch.ones(()), atol=1e-3))
