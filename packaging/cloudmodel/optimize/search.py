"""The search: many recipes, cheap questions first, and one trial at the end that passes everything, or none.

1. build every recipe in a child, drop what fails, changes nothing or equals another;
2. ask a few rows: drop what answers with another sense;
   the first that then passes the selection set and a short measurement is told at once, and judged again with the rest;
   of those that only smooth more or less, keep one;
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

from cloudmodel.core.errors import CloudmodelError
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.optimize import choice, front, measure, rescue, strengths
from cloudmodel.optimize.measure import Measured
from cloudmodel.optimize.metrics import Metric
from cloudmodel.optimize.recipe import Recipe
from cloudmodel.optimize.screen import Screen
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.trials import Early, Found, Trial, Wish, said
from cloudmodel.optimize.workshop import Made, Workshop

TOGETHER = 6
"""Models that are alive at once in a measuring process, besides the original twice."""
FINALISTS = 4
SMALLER = 0.9
"""A trial is smaller where it has at most this share of the original's bytes."""


class Search:
    """One search; `run` may be called once."""

    def __init__(self, workshop: Workshop, sets: Sets, metric: Metric, wish: Wish, report: Report = silent) -> None:
        self.workshop, self.sets, self.metric, self.wish, self.report = workshop, sets, metric, wish, report
        self.found = Found()
        self.screen = Screen(workshop, sets, metric, wish.demand)
        self.insisted = False
        self.started = monotonic()
        self.until = self.started + wish.budget
        self.request = workshop.request(sets.selection)

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
        strengths.settle(self.screen, [trial for trial in fresh if trial.open])
        # What only lost its fidelity is timed too: a few nodes left float may bring it back.
        hurt = [trial for trial in fresh if rescue.possible(trial)]
        self._glance([trial for trial in fresh if (trial.open or trial in hurt) and trial.ratio is None])
        kept = self._halve([trial for trial in fresh if trial.open])
        self._each("select", kept, self._select)
        hurt = [trial for trial in fresh if rescue.possible(trial)]
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
        trial.made = self.workshop.make(trial.recipe, self.left, self.screen.quick)
        for other in self.found.trials:
            if other is not trial and other.made is not None and other.made.sha256 == trial.made.sha256:
                trial.reason = f"the same model as {other.id}"
                return
        self.screen.ask(trial, self.screen.quick)
        if self.found.early is None and trial.open:
            self._look(trial)

    def _look(self, trial: Trial) -> None:
        """Take one trial through all gates but the last while others wait to be built: an answer to begin with. Its
        place among the others is decided later, by what they are all asked."""
        assert trial.made is not None
        screened = trial.judged
        self.screen.ask(trial, self.sets.selection)
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
        self.screen.ask(trial, self.sets.selection, beyond=True)

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

    def _rescue(self, hurt: Sequence[Trial], finalists: Sequence[Trial]) -> Trial | None:
        """The trial that was hurt, is the fastest of all and passes with a few nodes left float."""
        source = rescue.candidate(hurt, finalists)
        if source is None or source.made is None or not self.left:
            return None
        try:
            self.found.sensitivity = self.workshop.rank(source.made, source.recipe, self.left)
        except CloudmodelError:
            return None
        rescued = rescue.fewest(source, self.found.sensitivity, self._attempt)
        if rescued is not None:
            rescued.id = f"t{len(self.found.trials) + 1}"
            self.found.trials.append(rescued)
        return rescued

    def _attempt(self, probe: Trial) -> None:
        self._each("rescue", [probe], self._build)
        if probe.open:
            self._each("rescue", [probe], self._select)

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
