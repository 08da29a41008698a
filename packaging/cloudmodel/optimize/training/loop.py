"""Gradient descent: epochs over shuffled batches, stopped by a score, kept at its best epoch, resumable to the bit.

Every epoch has a seed of its own, made of the plan's seed and the epoch's number. A run that was killed goes on from
the last whole epoch with the very numbers that it would have had.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats.pytorch.modules import Module, Tensor
from cloudmodel.optimize.training import checkpoint
from cloudmodel.optimize.training.checkpoint import Checkpoint

Optimizer = Literal["sgd", "adamw"]
MOMENTUM = 0.9
CLIP = 5.0
"""The largest norm of a step's gradient: what a cut has left of a network can have steep places."""


@dataclass(frozen=True)
class Plan:
    """How to descend. `patience` is how many epochs without a better score end the run. The learning rate rises over
    the first epoch and falls to zero along a cosine (Loshchilov, Hutter 2017, "SGDR", equation 5, one period)."""

    epochs: int = 20
    batch: int = 64
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    patience: int = 5
    seed: int = 0


@dataclass(frozen=True)
class History:
    """`losses[n]` is the mean loss of epoch n + 1, `scores[n]` the score after n epochs (0: before the first);
    `best_epoch` is the epoch whose weights were kept."""

    losses: tuple[float, ...]
    scores: tuple[float, ...]
    best_epoch: int


def descend(
    module: Module,
    count: int,
    loss: Callable[[Tensor], Tensor],
    score: Callable[[], float],
    plan: Plan,
    *,
    also: Module | None = None,
    identity: str = "",
    file: Path | None = None,
    task: str = "train",
    report: Report = silent,
) -> History:
    """Train `module` in place, and leave it at its best epoch in evaluation mode. `also` learns beside it and is thrown
    away.

    `loss` maps the numbers of a batch's rows (int64, below `count`) to a scalar tensor; `score` is larger for a better
    module. `file` keeps the checkpoint; it is taken up again if plan, `identity` and the module at the start are the
    same. Raises StepFailed where the loss is no number any more.
    """
    learning = torch.nn.ModuleDict({"module": module, **({} if also is None else {"also": also})})
    optimizer = _optimizer(learning, plan)
    identity = _identity(identity, plan, count, learning)
    found = checkpoint.read(file, identity) if file is not None else None
    if found is None:
        state = _state(module)
        at = Checkpoint(identity, 0, [], [score()], 0, state, {}, {})
    else:
        at = found
        learning.load_state_dict(dict(at.modules))
        optimizer.load_state_dict(dict(at.optimizer))
    batches = math.ceil(count / plan.batch)
    while at.epoch < plan.epochs and at.epoch - at.best_epoch < plan.patience:
        at.losses.append(_epoch(learning, optimizer, loss, count, plan, at.epoch, batches))
        at.epoch += 1
        module.eval()
        at.scores.append(score())
        if at.scores[-1] > at.scores[at.best_epoch]:
            at.best_epoch, at.best = at.epoch, _state(module)
        if file is not None:
            at.modules, at.optimizer = learning.state_dict(), optimizer.state_dict()
            checkpoint.write(file, at)
        note = f"loss {at.losses[-1]:.4g}, score {at.scores[-1]:.4g}, best {at.scores[at.best_epoch]:.4g}"
        report(Progress(task, at.epoch, plan.epochs, note))
    module.load_state_dict(dict(at.best))
    module.eval()
    return History(tuple(at.losses), tuple(at.scores), at.best_epoch)


def rate(plan: Plan, step: int, batches: int) -> float:
    """The learning rate of a step, counted from 0 over all epochs."""
    warm = min(batches, max(1, plan.epochs * batches // 10))
    if step < warm:
        return plan.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, plan.epochs * batches - warm)
    return plan.learning_rate * (1 + math.cos(math.pi * done)) / 2


def _epoch(
    learning: Module, optimizer: Any, loss: Callable[[Tensor], Tensor], count: int, plan: Plan, epoch: int, batches: int
) -> float:
    torch.manual_seed((plan.seed << 20) + epoch)  # dropout and whatever else the model draws
    order = torch.randperm(count, generator=torch.Generator().manual_seed((plan.seed << 20) + epoch))
    learning.train()
    total = 0.0
    for number in range(batches):
        rows = order[number * plan.batch : (number + 1) * plan.batch]
        if len(rows) == 1 and batches > 1:
            continue  # batch normalization has no variance of a single row
        for group in optimizer.param_groups:
            group["lr"] = rate(plan, epoch * batches + number, batches)
        optimizer.zero_grad(set_to_none=True)
        value = loss(rows)
        if not torch.isfinite(value):
            raise StepFailed(
                f"The loss is {float(value.detach())} in epoch {epoch + 1}",
                hint="lower learning_rate, or look at the data",
            )
        value.backward()
        torch.nn.utils.clip_grad_norm_(learning.parameters(), CLIP)
        optimizer.step()
        total += float(value.detach()) * len(rows)
    return total / count


def _optimizer(learning: Module, plan: Plan) -> Any:
    """Vectors (biases, normalizations) are not decayed."""
    every = [each for each in learning.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in every if each.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [each for each in every if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if plan.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, lr=plan.learning_rate)


def _state(module: Module) -> dict[str, Any]:
    return copy.deepcopy(module.state_dict())


def _identity(given: str, plan: Plan, count: int, learning: Module) -> str:
    digest = hashlib.sha256(json.dumps([given, asdict(plan), count, torch.__version__], sort_keys=True).encode())
    for name, tensor in learning.state_dict().items():
        digest.update(name.encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
