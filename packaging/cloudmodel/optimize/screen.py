"""What a trial's answers to rows of the search's own say: passed so far, or refused and why. Nothing is timed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cloudmodel.optimize import gate
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.fidelity import expected_cosines
from cloudmodel.optimize.gate import Demand
from cloudmodel.optimize.metrics import Metric, Outputs
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.trials import Trial
from cloudmodel.optimize.workshop import Workshop

QUICK_ROWS = 64
MORE_ROWS = 500
"""Rows of the calibration and of the training set, each, that tell of the worst row besides those of the selection."""
CLEAR = 4
"""A worst row that is expected this many times nearer than it must be needs no more rows."""


class Screen:
    """Asks trials the selection set, or its first rows (`quick`), and where needed rows beyond it."""

    def __init__(self, workshop: Workshop, sets: Sets, metric: Metric, demand: Demand) -> None:
        self.workshop, self.sets, self.metric, self.demand = workshop, sets, metric, demand
        self.more = _joined([each for each in (sets.calibration, sets.train) if each is not None])
        self.quick = sets.selection
        if len(sets.selection) > 2 * QUICK_ROWS:
            self.quick = sets.selection.take(range(QUICK_ROWS))

    def ask(self, trial: Trial, data: Dataset, *, beyond: bool = False) -> None:
        """Judge by what was seen, not by its bound: few rows cannot prove anything, and need not yet. Gives `trial` its
        `judged`, and a `reason` where it is refused."""
        original, answers = self._answers(trial, data)
        trial.judged = judged = gate.judge(self.metric, original, answers, data, self.demand)
        drop = -judged.delta.mid if self.metric.larger_is_better else judged.delta.mid
        slack = 1 / len(data) if self.metric.correct is not None else 0.0
        if judged.fidelity < self.demand.min_fidelity:
            trial.reason = judged.reason
        elif data is self.sets.selection and (reason := self._too_near(trial, beyond)):
            trial.reason = reason
        elif drop - slack >= self.demand.max_drop:
            much = f"{self.metric.name} {self.metric.worsens} by {drop:.4g}"
            trial.reason = f"{much} on {len(data)} rows, allowed {self.demand.max_drop:g}"

    def expected(self, trial: Trial, *, beyond: bool) -> dict[str, float]:
        """For each float output the worst cosine to expect on the final set, by the selection set, and with `beyond` by
        rows outside of both sets as well: cosines need no labels."""
        original, answers = self._answers(trial, self.sets.selection)
        if beyond:
            first, then = self._answers(trial, self.more)
            original, answers = _both(original, first), _both(answers, then)
        return expected_cosines(original, answers, len(self.sets.final))

    def _too_near(self, trial: Trial, beyond: bool) -> str | None:
        """Why a trial whose worst row here is good enough is not expected to pass on the final set's many more."""
        rows, least = len(self.sets.final), self.demand.min_fidelity
        expected = self.expected(trial, beyond=False)
        if beyond and min(expected.values(), default=1.0) < 1 - (1 - least) / CLEAR:
            expected = self.expected(trial, beyond=True)
        name = min(expected, key=lambda each: expected[each], default=None)
        if name is None or expected[name] >= least:
            return None
        return (
            f"fidelity: of {rows:,} rows the worst cosine of output {name!r} is expected at {expected[name]:.4f}, below"
            f" {least:g}"
        )

    def _answers(self, trial: Trial, data: Dataset) -> tuple[Outputs, Outputs]:
        """The original's and the trial's."""
        assert trial.made is not None
        asked = self.sets.selection if data is self.quick else data  # the quick rows are the first of them
        original = self.workshop.answers(self.workshop.original.model, self.workshop.sha256, asked)
        answers = self.workshop.answers(trial.made.model, trial.made.sha256, data)
        return {name: array[: len(data)] for name, array in original.items()}, answers


def _both(one: Outputs, other: Outputs) -> dict[str, Any]:
    return {name: np.concatenate([array, other[name]]) for name, array in one.items()}


def _joined(parts: Sequence[Dataset]) -> Dataset:
    """The first rows of each, without labels."""
    few = [part.take(range(min(MORE_ROWS, len(part)))) for part in parts]
    inputs = {name: np.concatenate([part.inputs[name] for part in few]) for name in few[0].inputs}
    return Dataset(inputs, None, None, "rows of neither selection nor final set")
