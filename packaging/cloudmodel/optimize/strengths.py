"""Trials that differ in how strongly they smooth, and in nothing else: which one goes on.

How strong is right differs from model to model, and the wrong strength is as fast as the right one: what tells them
apart is the worst row. So they are asked in rounds, more rows in each, and the better half goes on (successive halving,
Jamieson and Talwalkar 2016), by rows that are in no final set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import ceil

from cloudmodel.core.errors import CloudmodelError
from cloudmodel.optimize.screen import Screen
from cloudmodel.optimize.trials import Trial

STRENGTH = "strength"


def settle(screen: Screen, trials: Sequence[Trial]) -> None:
    """Refuse of each group all but the one whose worst row is expected nearest to the original's."""
    for rivals in _groups(trials):
        left = rivals
        for beyond in (False, True):
            expected = {}
            for trial in left:
                try:
                    expected[trial.id] = min(screen.expected(trial, beyond=beyond).values(), default=1.0)
                except CloudmodelError as error:
                    trial.reason = error.message
            order = sorted((trial for trial in left if trial.open), key=lambda trial: -expected[trial.id])
            left = order[:1] if beyond else order[: ceil(len(order) / 2)]
            for trial in order[len(left) :]:
                trial.reason = (
                    f"another strength turns answers less: the worst cosine is expected at {expected[trial.id]:.4f}, of"
                    f" {left[0].id} at {expected[left[0].id]:.4f}"
                )


def _groups(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        steps = [{**step, STRENGTH: None} if STRENGTH in step else step for step in trial.recipe.as_json()]
        found.setdefault(json.dumps(steps, sort_keys=True), []).append(trial)
    yield from (group for group in found.values() if len(group) > 1)
