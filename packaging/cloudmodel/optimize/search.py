"""The search: many recipes, cheap questions first, and one trial at the end that passes everything, or none.

1. build every recipe in a child, drop what fails, changes nothing or equals another;
2. ask a few rows: drop what answers with another sense;
   the first that then passes the selection set and a short measurement is told at once, and judged again with the rest;
3. time each for a moment: drop what is clearly slower;
4. keep the better half by non-dominated rank, and what no other beats, ask the whole selection set;
5. where a fast quantized trial fails, bisect how many of its worst nodes must stay float;
6. time what is left with care, and choose by the objective;
7. only if nothing passed: the techniques that train, through the same steps;
8. ask the final set, once, for the chosen trial.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, log
from time import monotonic
from typing import Any

import numpy as np

from cloudmodel.core.errors import CloudmodelError
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.optimize import choice, front, gate, measure, sensitivity
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.fidelity import expected_cosines
from cloudmodel.optimize.measure import Measured
from cloudmodel.optimize.metrics import Metric, Outputs
from cloudmodel.optimize.recipe import Recipe, Step
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.trials import Early, Found, Trial, Wish, said
from cloudmodel.optimize.workshop import Made, Workshop

QUICK_ROWS = 64
TOGETHER = 6
"""Models that are alive at once in a measuring process, besides the original twice."""
FINALISTS = 4
MORE_ROWS = 500
"""Rows of the calibration and of the training set, each, that tell of the worst row besides those of the selection."""
CLEAR = 4
"""A worst row that is expected this many times nearer than it must be needs no more rows."""
SMALLER = 0.9
"""A trial is smaller where it has at most this share of the original's bytes."""


RESCUED = ("static-int8", "dynamic-int8")
"""Techniques that can leave single nodes float."""


class Search:
    """One search; `run` may be called once."""

    def __init__(self, workshop: Workshop, sets: Sets, metric: Metric, wish: Wish, report: Report = silent) -> None:
        self.workshop, self.sets, self.metric, self.wish, self.report = workshop, sets, metric, wish, report
        self.found = Found()
        self.more = _joined([each for each in (sets.calibration, sets.train) if each is not None])
        self.insisted = False
        self.started = monotonic()
        self.until = self.started + wish.budget
        self.request = workshop.request(sets.selection, wish.objective)
        self.quick = sets.selection
        if len(sets.selection) > 2 * QUICK_ROWS:
            self.quick = sets.selection.take(range(QUICK_ROWS))

    @property
    def left(self) -> float:
        """Seconds of the budget that are left, at least 0."""
        return max(0.0, self.until - monotonic())

    def run(self) -> Found:
        """All steps. Raises only for faults of the original and of the data: a trial that fails is a result."""
        self._round(self.wish.recipes)
        if not any(trial.accepted for trial in self.found.trials) and self.left:
            self._round(self.wish.training)
        self.found.profile = self.workshop.profile(self.workshop.original.model, self.request)
        choice.choose(self.found, self.workshop, self.sets, self.metric, self.wish, self.request)
        return self.found

    def _round(self, recipes: Sequence[Recipe]) -> None:
        fresh = [Trial(f"t{len(self.found.trials) + place}", recipe) for place, recipe in enumerate(recipes, 1)]
        if not fresh:
            return
        self.found.trials += fresh
        self._each("build", fresh, self._build)
        # What only lost its fidelity is timed too: a few nodes left float may bring it back.
        hurt = [trial for trial in fresh if self._can_be_rescued(trial)]
        self._glance([trial for trial in fresh if (trial.open or trial in hurt) and trial.ratio is None])
        kept = self._halve([trial for trial in fresh if trial.open])
        self._each("select", kept, self._select)
        hurt = [trial for trial in fresh if self._can_be_rescued(trial)]
        finalists = [trial for trial in kept if trial.open]
        if (rescued := self._rescue(hurt, finalists)) is not None:
            finalists.append(rescued)
        self._measure(finalists)

    def _each(self, task: str, trials: Sequence[Trial], work: Callable[[Trial], None]) -> None:
        for number, trial in enumerate(trials):
            self.report(Progress(task, number, len(trials), trial.recipe.title))
            try:
                work(trial)
            except CloudmodelError as error:
                trial.reason = error.message + (f" ({error.hint})" if error.hint else "")
        self.report(Progress(task, len(trials), len(trials)))

    def _build(self, trial: Trial) -> None:
        if not self.left:
            trial.reason = "not tried: the budget was over"
            return
        if reason := self.workshop.inapplicable(trial.recipe):
            trial.reason = reason
            return
        trial.made = self.workshop.make(trial.recipe, self.left, self.quick)
        for other in self.found.trials:
            if other is not trial and other.made is not None and other.made.sha256 == trial.made.sha256:
                trial.reason = f"the same model as {other.id}"
                return
        self._ask(trial, self.quick)
        if self.found.early is None and trial.open:
            self._look(trial)

    def _look(self, trial: Trial) -> None:
        """Take one trial through all gates but the last while others wait to be built: an answer to begin with. Its
        place among the others is decided later, by what they are all asked."""
        assert trial.made is not None
        screened = trial.judged
        self._ask(trial, self.sets.selection)
        if not trial.open:
            return
        found = self.workshop.measure([trial.made], self.request, self.wish.look)
        if found.claim(0) == "inconclusive" and not self.insisted:
            self.insisted = True  # once: where the machine is too busy at length, every look would be in vain
            found = self.workshop.measure([trial.made], self.request, self.wish.effort)
        trial.ratio, trial.judged = found.ratios[0], screened
        self._drop(trial, found)
        if trial.open and self._passes(trial.made, found.claim(0)):
            self.found.early = Early(trial.id, monotonic() - self.started, trial.ratio, found.floor)
            self.report(Progress("accepted", note=f"{trial.recipe.title}: {said(trial.ratio)} times as fast"))

    def _select(self, trial: Trial) -> None:
        self._ask(trial, self.sets.selection, beyond=True)

    def _ask(self, trial: Trial, data: Dataset, *, beyond: bool = False) -> None:
        """Judge by what was seen, not by its bound: few rows cannot prove anything, and need not yet."""
        assert trial.made is not None
        every = self.workshop.answers(self.workshop.original.model, self.workshop.sha256, self.sets.selection)
        original = {name: array[: len(data)] for name, array in every.items()}  # the quick rows are the first of them
        answers = self.workshop.answers(trial.made.model, trial.made.sha256, data)
        trial.judged = judged = gate.judge(self.metric, original, answers, data, self.wish.demand)
        drop = -judged.delta.mid if self.metric.larger_is_better else judged.delta.mid
        slack = 1 / len(data) if self.metric.correct is not None else 0.0
        if judged.fidelity < self.wish.demand.min_fidelity:
            trial.reason = judged.reason
        elif data is self.sets.selection and (reason := self._too_near(trial.made, original, answers, beyond)):
            trial.reason = reason
        elif drop - slack >= self.wish.demand.max_drop:
            trial.reason = (
                f"{self.metric.name} drops by {drop:.4g} on {len(data)} rows, allowed {self.wish.demand.max_drop:g}"
            )

    def _too_near(self, made: Made, original: Outputs, answers: Outputs, beyond: bool) -> str | None:
        """Why a trial whose worst row here is good enough is not expected to pass on the final set's many more. Where
        that is not clear from the selection set, rows `beyond` both are asked too: cosines need no labels."""
        rows, least = len(self.sets.final), self.wish.demand.min_fidelity
        expected = expected_cosines(original, answers, rows)
        if beyond and min(expected.values(), default=1.0) < 1 - (1 - least) / CLEAR:
            first = self.workshop.answers(self.workshop.original.model, self.workshop.sha256, self.more)
            then = self.workshop.answers(made.model, made.sha256, self.more)
            expected = expected_cosines(_both(original, first), _both(answers, then), rows)
        name = min(expected, key=lambda each: expected[each], default=None)
        if name is None or expected[name] >= least:
            return None
        return (
            f"fidelity: of {rows:,} rows the worst cosine of output {name!r} is expected at {expected[name]:.4f}, below"
            f" {least:g}"
        )

    def _glance(self, trials: Sequence[Trial]) -> None:
        for start in range(0, len(trials), TOGETHER):
            part = [trial for trial in trials[start : start + TOGETHER] if trial.made is not None]
            self.report(Progress("glance", start, len(trials)))
            found = self.workshop.measure([t.made for t in part if t.made], self.request, measure.GLANCE)
            for number, trial in enumerate(part):
                trial.ratio = found.ratios[number]
                self._drop(trial, found)
        self.report(Progress("glance", len(trials), len(trials)))

    def _drop(self, trial: Trial, found: Measured) -> None:
        """Refuse what a short measurement shows to be slower, or no smaller where that is asked for."""
        assert trial.ratio is not None
        if self.wish.objective != "size" and trial.ratio.high < 1 and found.void is None and trial.open:
            trial.claim = "slower"
            trial.reason = f"slower: {said(trial.ratio)} times as fast as the original"
        elif self.wish.objective == "size" and trial.open and trial.made and not self._smaller(trial.made):
            trial.reason = f"not smaller: {trial.made.size_bytes:,} bytes of {self.workshop.size_bytes:,}"

    def _halve(self, trials: Sequence[Trial]) -> list[Trial]:
        points = [self._point(trial) for trial in trials]
        count = min(FINALISTS, max(2, ceil(len(trials) / 2), front.ranks(points).count(0)))
        kept = [trials[number] for number in front.best(points, count)]
        for trial in trials:
            if trial not in kept:
                trial.reason = "others were better at this stage: not measured further"
        return kept

    def _point(self, trial: Trial) -> tuple[float, float, float, float]:
        assert trial.judged is not None
        assert trial.made is not None
        better = trial.judged.metric if self.metric.larger_is_better else -trial.judged.metric
        speed = log(trial.ratio.mid) if trial.ratio is not None else 0.0
        return speed, better, trial.judged.fidelity, -float(trial.made.size_bytes)

    def _can_be_rescued(self, trial: Trial) -> bool:
        last = trial.recipe.steps[-1].technique
        refused = trial.judged is not None and trial.reason and trial.claim is None
        return bool(refused and trial.made is not None and last in RESCUED and len(trial.recipe.steps) == 1)

    def _rescue(self, hurt: Sequence[Trial], finalists: Sequence[Trial]) -> Trial | None:
        """The fastest trial that lost its fidelity or metric, with as few nodes left float as bring it back."""
        best = max((trial.ratio.mid for trial in finalists if trial.ratio), default=1.0)
        fast = [trial for trial in hurt if trial.ratio is not None and trial.ratio.mid > best]
        if not fast or not self.left:
            return None
        # Of those that are not beaten in both speed and fidelity, the one that has to get back least.
        points = [(trial.ratio.mid, trial.judged.fidelity) for trial in fast if trial.ratio and trial.judged]
        level = front.ranks(points)
        source = max((trial for trial, rank in zip(fast, level, strict=True) if rank == 0), key=_fidelity)
        assert source.made is not None
        try:
            ranked = self.workshop.rank(source.made, self.left)
        except CloudmodelError:
            return None
        self.found.sensitivity = ranked
        probes: dict[int, Trial] = {}

        def passes(length: int) -> bool:
            step = source.recipe.steps[0]
            exclude: list[Any] = sorted([*step.parameters["exclude"], *(node["name"] for node in ranked[:length])])  # type: ignore[misc]
            parameters = {**step.parameters, "exclude": exclude}
            recipe = Recipe(steps=(Step(technique=step.technique, parameters=parameters),))
            probe = probes[length] = Trial(f"t{len(self.found.trials) + 1}", recipe)
            self._each("rescue", [probe], self._build)
            if probe.open:
                self._each("rescue", [probe], self._select)
            return probe.open

        length = sensitivity.shortest_prefix(len(ranked) - 1, passes)
        if length is None:
            return None
        rescued = probes[length]
        rescued.id = f"t{len(self.found.trials) + 1}"
        self.found.trials.append(rescued)
        return rescued

    def _measure(self, finalists: Sequence[Trial]) -> None:
        if not finalists:
            return
        found = self.workshop.measure([t.made for t in finalists if t.made], self.request, self.wish.effort)
        self.found.measured = found
        for number, trial in enumerate(finalists):
            trial.ratio, trial.claim = found.ratios[number], found.claim(number)
            assert trial.made is not None
            trial.accepted = self._passes(trial.made, trial.claim)
            trial.reason = self._verdict(trial, found)

    def _verdict(self, trial: Trial, found: Measured) -> str:
        assert trial.ratio is not None
        assert trial.made is not None
        speed = f"{said(trial.ratio)} times as fast, noise {found.floor.low:.3f} to {found.floor.high:.3f}"
        if self.wish.objective == "size":
            return f"{self.workshop.size_bytes / trial.made.size_bytes:.2f} times smaller; {speed}"
        if trial.claim == "inconclusive":
            return f"inconclusive: {found.void or 'the machine is too busy to tell so small a difference'} ({speed})"
        return speed if trial.accepted else f"not faster: {speed}"

    def _passes(self, made: Made, claim: str) -> bool:
        return self._smaller(made) if self.wish.objective == "size" else claim == "faster"

    def _smaller(self, made: Made) -> bool:
        return made.size_bytes <= SMALLER * self.workshop.size_bytes


def _both(one: Outputs, other: Outputs) -> dict[str, Any]:
    return {name: np.concatenate([array, other[name]]) for name, array in one.items()}


def _joined(parts: Sequence[Dataset]) -> Dataset:
    """The first rows of each, without labels."""
    few = [part.take(range(min(MORE_ROWS, len(part)))) for part in parts]
    inputs = {name: np.concatenate([part.inputs[name] for part in few]) for name in few[0].inputs}
    return Dataset(inputs, None, None, "rows of neither selection nor final set")


def _fidelity(trial: Trial) -> float:
    return trial.judged.fidelity if trial.judged is not None else -1.0
