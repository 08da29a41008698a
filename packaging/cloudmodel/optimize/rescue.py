"""A fast quantized trial that lost its fidelity or metric, with as few of its nodes left float as bring it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloudmodel.optimize import front, sensitivity
from cloudmodel.optimize.recipe import Recipe, Step
from cloudmodel.optimize.techniques import TRAINS
from cloudmodel.optimize.trials import Trial

RESCUED = ("static-int8", "dynamic-int8")
"""Techniques that can leave single nodes float."""


def possible(trial: Trial) -> bool:
    """Whether float nodes may help a trial that was refused: its last step can leave some, it is not slower, and the
    steps before it can be taken again in no time."""
    *before, last = (step.technique for step in trial.recipe.steps)
    refused = trial.made is not None and trial.judged is not None and trial.reason and trial.claim is None
    return bool(refused) and last in RESCUED and not TRAINS.intersection(before)


def candidate(hurt: Sequence[Trial], finalists: Sequence[Trial]) -> Trial | None:
    """Of the trials that were `hurt`, are faster than all `finalists` beyond doubt (float nodes will cost them some of
    it) and are not beaten in both speed and fidelity, the one that has to get back least."""
    best = max((trial.ratio.high for trial in finalists if trial.ratio), default=1.0)
    fast = [trial for trial in hurt if trial.ratio is not None and trial.ratio.low > best]
    level = front.ranks([(trial.ratio.mid, _fidelity(trial)) for trial in fast if trial.ratio])
    return max((trial for trial, rank in zip(fast, level, strict=True) if rank == 0), key=_fidelity, default=None)


def fewest(source: Trial, ranked: Sequence[Mapping[str, Any]], attempt: Callable[[Trial], object]) -> Trial | None:
    """`source` with the shortest prefix of the nodes that were `ranked` left float that passes, or None. `attempt`
    makes and asks a trial, and refuses it where it does not pass."""
    *before, last = source.recipe.steps
    already: list[Any] = last.parameters["exclude"]  # type: ignore[assignment]
    probes: dict[int, Trial] = {}

    def passes(length: int) -> bool:
        exclude = sorted([*already, *(node["name"] for node in ranked[:length])])
        step = Step(technique=last.technique, parameters={**last.parameters, "exclude": exclude})
        probe = probes[length] = Trial(source.id, Recipe(steps=(*before, step)))
        attempt(probe)
        return probe.open

    length = sensitivity.shortest_prefix(len(ranked) - 1, passes)
    return None if length is None else probes[length]


def _fidelity(trial: Trial) -> float:
    return trial.judged.fidelity if trial.judged is not None else -1.0
