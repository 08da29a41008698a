"""The losses of distillation, each a mean over the batch that gradient descent makes smaller. They stand alone: tensors
in, a scalar tensor out, nothing else of this package is used.

`student`, `teacher` and `logits` are float tensors [batch, …, classes] before softmax; with a single class the value is
the logit of a yes. A teacher is a constant: no gradient flows into it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

Tensor = Any
TEMPERATURE = 4.0


def soft_targets(student: Tensor, teacher: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """T² · KL(p ‖ q) with p = softmax(teacher / T), q = softmax(student / T), summed over the classes.

    T > 1 shows how wrong answers compare; T² keeps the size of the gradients, which shrink as 1/T².
    Source: Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
    """
    wanted = functional.log_softmax(_classes(teacher.detach()) / temperature, dim=-1)
    found = functional.log_softmax(_classes(student) / temperature, dim=-1)
    rows = found.numel() // found.shape[-1]
    return functional.kl_div(found, wanted, reduction="sum", log_target=True) * (temperature**2 / rows)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label]; `labels` are integers [batch, …] from 0 on.

    Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 6.2.2.
    """
    scores = _classes(logits)
    return functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1).long())


def squared_error(found: Tensor, wanted: Tensor) -> Tensor:
    """(found - wanted)², the mean over all elements: the loss of regression."""
    return functional.mse_loss(found.reshape(wanted.shape), wanted.detach())


def logits_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """½ Σ_classes (student - teacher)², the mean over the batch.

    Source: Ba, Caruana 2014, "Do Deep Nets Really Need to be Deep?", equation 1.
    """
    rows = student.numel() // student.shape[-1]
    return functional.mse_loss(student, teacher.detach(), reduction="sum") / (2 * rows)


def features_squared_error(student: Tensor, teacher: Tensor, projector: Callable[[Tensor], Tensor]) -> Tensor:
    """(projector(student) - teacher)², the mean over all elements. `projector` maps the student's features [batch, …,
    narrow] to the teacher's width; it learns with the student and is thrown away with the training.

    Source: Romero and others 2015, "FitNets: Hints for Thin Deep Nets", equation 3.
    """
    return functional.mse_loss(projector(student), teacher.detach())


def as_logits(outputs: Tensor, *, probabilities: bool) -> Tensor:
    """Logits from a model's answers: log p where it answers with probabilities, for softmax(log p) = p."""
    return torch.log(outputs.clamp_min(torch.finfo(outputs.dtype).tiny)) if probabilities else outputs


def _classes(logits: Tensor) -> Tensor:
    """A single logit of a yes is the pair (0, logit): the same probabilities by softmax as by sigmoid."""
    if logits.shape[-1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim=-1)
