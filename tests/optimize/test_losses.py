"""The losses are their formulas, and their gradients are those of finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cloudmodel.optimize import losses

Array = NDArray[np.float64]
ROWS, CLASSES, STEP = 5, 4, 1e-5
RANDOM = np.random.default_rng(3)
STUDENT, TEACHER = RANDOM.normal(size=(ROWS, CLASSES)), RANDOM.normal(size=(ROWS, CLASSES)) * 2
LABELS = RANDOM.integers(0, CLASSES, ROWS)
WIDE, PROJECTION = RANDOM.normal(size=(ROWS, 6)), RANDOM.normal(size=(CLASSES, 6))


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def soft_targets(student: Array, teacher: Array, temperature: float) -> float:
    wanted, found = softmax(teacher / temperature), softmax(student / temperature)
    return float(temperature**2 * (wanted * np.log(wanted / found)).sum(-1).mean())


def cross_entropy(student: Array) -> float:
    return float(-np.log(softmax(student)[np.arange(ROWS), LABELS]).mean())


def project(student: Any) -> Any:
    return student @ torch.from_numpy(PROJECTION)


TABLE: dict[str, tuple[Callable[[Any], Any], Callable[[Array], float]]] = {
    "soft targets, T = 1": (
        lambda student: losses.soft_targets(student, torch.from_numpy(TEACHER), 1.0),
        lambda student: soft_targets(student, TEACHER, 1.0),
    ),
    "soft targets, T = 4": (
        lambda student: losses.soft_targets(student, torch.from_numpy(TEACHER), 4.0),
        lambda student: soft_targets(student, TEACHER, 4.0),
    ),
    "soft targets of a single logit": (
        lambda student: losses.soft_targets(student[:, :1], torch.from_numpy(TEACHER[:, :1]), 2.0),
        lambda student: soft_targets(
            np.stack([np.zeros(ROWS), student[:, 0]], 1), np.stack([np.zeros(ROWS), TEACHER[:, 0]], 1), 2.0
        ),
    ),
    "cross-entropy": (
        lambda student: losses.cross_entropy(student, torch.from_numpy(LABELS)),
        cross_entropy,
    ),
    "squared error": (
        lambda student: losses.squared_error(student, torch.from_numpy(TEACHER)),
        lambda student: float(((student - TEACHER) ** 2).mean()),
    ),
    "squared error of logits": (
        lambda student: losses.logits_squared_error(student, torch.from_numpy(TEACHER)),
        lambda student: float(((student - TEACHER) ** 2).sum(-1).mean() / 2),
    ),
    "squared error of features": (
        lambda student: losses.features_squared_error(student, torch.from_numpy(WIDE), project),
        lambda student: float(((student @ PROJECTION - WIDE) ** 2).mean()),
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_loss_is_its_formula(name: str) -> None:
    ours, formula = TABLE[name]
    assert float(ours(torch.from_numpy(STUDENT))) == pytest.approx(formula(STUDENT), rel=1e-10)


@pytest.mark.parametrize("name", TABLE)
def test_a_gradient_is_that_of_finite_differences_of_the_formula(name: str) -> None:
    ours, formula = TABLE[name]
    student = torch.from_numpy(STUDENT.copy()).requires_grad_(True)
    ours(student).backward()
    wanted = np.zeros_like(STUDENT)
    for place in np.ndindex(*STUDENT.shape):
        step = np.zeros_like(STUDENT)
        step[place] = STEP
        wanted[place] = (formula(STUDENT + step) - formula(STUDENT - step)) / (2 * STEP)
    np.testing.assert_allclose(student.grad.numpy(), wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", TABLE)
def test_autograd_agrees_with_itself(name: str) -> None:
    ours, _ = TABLE[name]
    assert torch.autograd.gradcheck(ours, (torch.from_numpy(STUDENT.copy()).requires_grad_(True),))


def test_nothing_flows_back_into_the_teacher() -> None:
    teacher = torch.from_numpy(TEACHER.copy()).requires_grad_(True)
    student = torch.from_numpy(STUDENT.copy()).requires_grad_(True)
    total = losses.soft_targets(student, teacher) + losses.logits_squared_error(student, teacher)
    (total + losses.features_squared_error(student, teacher, torch.nn.Identity())).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_gradients_keep_their_size_at_a_high_temperature() -> None:
    """What T² is for: without it they shrink as 1/T²."""

    def size(temperature: float) -> float:
        student = torch.from_numpy(STUDENT.copy()).requires_grad_(True)
        losses.soft_targets(student, torch.from_numpy(TEACHER), temperature).backward()
        return float(student.grad.norm())

    assert size(50.0) / size(100.0) == pytest.approx(1, abs=0.05)


def test_the_largest_scores_do_not_overflow() -> None:
    far = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = losses.soft_targets(far, torch.tensor([[-1e4, 1e4]])) + losses.cross_entropy(far, torch.tensor([1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(far.grad).all()


def test_probabilities_become_logits_with_the_same_softmax() -> None:
    shares = torch.from_numpy(softmax(STUDENT))
    torch.testing.assert_close(torch.softmax(losses.as_logits(shares, probabilities=True), -1), shares)
    assert losses.as_logits(shares, probabilities=False) is shares
