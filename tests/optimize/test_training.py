"""The training loop: it learns, it stops, it is repeatable, and a run that was killed ends as if it had not been."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Progress
from cloudmodel.formats.pytorch import modules
from cloudmodel.optimize.training import checkpoint, loop

COUNT = 90
PLAN = loop.Plan(epochs=6, batch=16, learning_rate=0.05, patience=6, seed=4)


class Job:
    """A net with dropout that learns a sign; its loss can be made to fail."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.inputs = torch.randn(COUNT, 6)
        self.labels = (self.inputs[:, 0] > 0).long()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(6, 8),
            torch.nn.BatchNorm1d(8),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(8, 2),
        )
        self.calls = 0
        self.stop_at = math.inf

    def loss(self, rows: Any) -> Any:
        self.calls += 1
        if self.calls > self.stop_at:
            raise KeyboardInterrupt
        return torch.nn.functional.cross_entropy(self.net(self.inputs[rows]), self.labels[rows])

    def score(self) -> float:
        with torch.no_grad():
            return float((self.net(self.inputs).argmax(1) == self.labels).float().mean())

    def run(self, plan: loop.Plan = PLAN, file: Path | None = None, **more: Any) -> loop.History:
        with modules.quiet(seed=9):
            return loop.descend(self.net, COUNT, self.loss, self.score, plan, file=file, **more)

    def weights(self) -> bytes:
        return b"".join(each.numpy().tobytes() for each in self.net.state_dict().values())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_learns(optimizer: loop.Optimizer) -> None:
    job = Job()
    history = job.run(replace(PLAN, optimizer=optimizer))
    assert history.losses[-1] < history.losses[0] * 0.7
    assert history.scores[history.best_epoch] == max(history.scores) > 0.9
    assert job.score() == history.scores[history.best_epoch]
    assert not job.net.training


def test_the_same_plan_gives_the_same_bits() -> None:
    first, second, other = Job(), Job(), Job()
    assert first.run() == second.run()
    assert first.weights() == second.weights()
    other.run(replace(PLAN, seed=5))
    assert other.weights() != first.weights()


@pytest.mark.parametrize("batches", [1, 6, 7, 20, 35])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path, batches: int) -> None:
    whole = Job()
    history = whole.run()
    file = tmp_path / "checkpoint.pt"
    stopped = Job()
    stopped.stop_at = batches
    with pytest.raises(KeyboardInterrupt):
        stopped.run(file=file)
    resumed = Job()
    assert resumed.run(file=file) == history
    assert resumed.weights() == whole.weights()
    done = batches // math.ceil(COUNT / PLAN.batch)
    assert resumed.calls == whole.calls - done * math.ceil(COUNT / PLAN.batch)  # whole epochs are not done again


def other_plan(file: Path) -> Job:
    job = Job()
    job.run(replace(PLAN, learning_rate=0.01), file)
    return job


def other_start(file: Path) -> Job:
    job = Job()
    with torch.no_grad():
        job.net[0].weight.add_(1)
    job.run(file=file)
    return job


def damaged(file: Path) -> Job:
    file.write_bytes(file.read_bytes()[:100])
    job = Job()
    job.run(file=file)
    return job


@pytest.mark.parametrize("again", [other_plan, other_start, damaged])
def test_a_checkpoint_of_another_run_is_not_taken_up(tmp_path: Path, again: Callable[[Path], Job]) -> None:
    file = tmp_path / "checkpoint.pt"
    first = Job()
    first.run(file=file)
    assert again(file).calls == first.calls


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"version": 1, "identity": Evil()}, tmp_path / "checkpoint.pt")
    assert checkpoint.read(tmp_path / "checkpoint.pt", "") is None
    assert not (tmp_path / "ran").exists()


def test_it_stops_when_the_score_stays_and_keeps_the_best_epoch() -> None:
    job = Job()
    scores = iter([0.1, 0.5, 0.9, 0.8, 0.7, 0.6])
    history = loop.descend(job.net, COUNT, job.loss, lambda: next(scores), replace(PLAN, epochs=50, patience=2))
    assert history.scores == (0.1, 0.5, 0.9, 0.8, 0.7)
    assert history.best_epoch == 2
    again, steady = Job(), iter([0.1, 0.5, 0.9])
    with pytest.raises(Stopped):
        loop.descend(
            again.net, COUNT, again.loss, lambda: next(steady), replace(PLAN, epochs=50, patience=2), report=after_two
        )
    assert job.weights() == again.weights()


class Stopped(Exception):
    """Leaves the net as it is after two epochs of a longer run."""


def after_two(progress: Progress, /) -> None:
    if progress.done == 2:
        raise Stopped


def test_progress_tells_loss_and_score() -> None:
    heard: list[Progress] = []
    Job().run(report=heard.append, task="train, accuracy")
    assert [each.done for each in heard] == [1, 2, 3, 4, 5, 6]
    assert {each.task for each in heard} == {"train, accuracy"}
    assert all("loss" in each.note and "score" in each.note for each in heard)


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    job = Job()
    with pytest.raises(StepFailed, match=r"The loss is (nan|inf) in epoch 1") as raised:
        loop.descend(job.net, COUNT, lambda rows: job.loss(rows) * math.inf, job.score, PLAN)
    assert "learning_rate" in str(raised.value.hint)


def test_the_rate_rises_and_falls_to_zero() -> None:
    plan = loop.Plan(epochs=10, learning_rate=1.0)
    rates = [loop.rate(plan, step, 5) for step in range(50)]
    assert rates[4] == max(rates) == 1.0
    assert rates[:5] == sorted(rates[:5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.01


def test_work_leaves_threads_and_generator_as_they_were() -> None:
    torch.manual_seed(1)
    threads, wanted = torch.get_num_threads(), torch.rand(3)
    torch.manual_seed(1)
    with modules.quiet(threads=1, seed=8):
        assert torch.get_num_threads() == 1
        torch.rand(10)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), wanted)
