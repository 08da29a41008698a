"""How many times faster, and how sure that is: paired blocks, a median, a bootstrap, and a control of equal arms.

Everything is computed on logarithms of ratios: twice as fast and half as fast are equally far from the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from cloudmodel.optimize.bounds import Interval

RESAMPLES = 2000
WIDEST = 0.10
"""A control whose interval reaches further than this from 1 says that the machine cannot tell anything."""
MOST_STEAL = 0.01
"""The share of time that the hypervisor may give to others before a run is void."""
QUIET = 0.03
FAR = 5
"""A gain of so many times what equal models differ by is seen on any machine."""
LEAST_ROUNDS = 6
"""Rounds that a process makes however slow the machine is: fewer have no interval."""


@dataclass(frozen=True)
class Arm:
    """What is timed: `repeats` calls are a sample, long against the clock's steps; `warm` calls before it count for
    nothing, for the first ones find in the processor's caches what another arm left there."""

    call: Callable[[], object]
    repeats: int = 1
    warm: int = 0

    def sample(self, clock: Callable[[], int]) -> int:
        """The time of a sample in ns."""
        for _ in range(self.warm):
            self.call()
        started = clock()
        for _ in range(self.repeats):
            self.call()
        return max(1, clock() - started)


def block(baseline: Arm, trial: Arm, clock: Callable[[], int], *, flip: bool) -> tuple[float, float]:
    """One block ABBA (or BAAB with `flip`): log(time of A / time of B) a call, and A's time a call in ns.

    Drift that is linear within the block cancels.
    """
    arms = (baseline, trial)
    spent = [0, 0]
    for arm in (1, 0, 0, 1) if flip else (0, 1, 1, 0):
        spent[arm] += arms[arm].sample(clock)
    each = spent[0] / (2 * baseline.repeats), spent[1] / (2 * trial.repeats)
    return log(each[0] / each[1]), each[0]


def blocks(
    baseline: Arm,
    others: Sequence[Arm],
    *,
    rounds: int,
    clock: Callable[[], int],
    seed: int,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[list[float]], list[float]]:
    """`rounds` rounds; in each, one block of every other arm in random order, each block's order drawn anew.

    Returns the log-ratios of every other arm, and the baseline's time a call in ns by block. Ends early, after a whole
    round and not before LEAST_ROUNDS, when `stop` says so.
    """
    drawn = random.Random(seed)  # noqa: S311  # an order, not a secret
    found: list[list[float]] = [[] for _ in others]
    times: list[float] = []
    for made in range(1, rounds + 1):
        order = list(range(len(others)))
        drawn.shuffle(order)
        for number in order:
            ratio, each = block(baseline, others[number], clock, flip=drawn.random() < 0.5)
            found[number].append(ratio)
            times.append(each)
        if made >= LEAST_ROUNDS and stop():
            break
    return found, times


def interval(processes: Sequence[Sequence[float]], confidence: float, seed: int) -> Interval:
    """The median ratio over the log-ratios of several processes, with a two-sided interval from a bootstrap that
    draws processes first and their blocks then: what differs between processes is part of the doubt."""
    drawn = np.random.default_rng(seed)
    parts = [np.asarray(part, dtype=np.float64) for part in processes if len(part)]
    lengths = np.array([len(part) for part in parts])
    padded = np.zeros((len(parts), int(lengths.max())))
    for place, part in enumerate(parts):
        padded[place, : len(part)] = part
    chosen = drawn.integers(0, len(parts), (RESAMPLES, len(parts), 1))
    blocks_of = (drawn.random((RESAMPLES, len(parts), padded.shape[1])) * lengths[chosen]).astype(np.int64)
    medians = np.median(padded[chosen, blocks_of], axis=(1, 2))
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(exp(float(low)), exp(float(np.median(np.concatenate(parts)))), exp(float(high)))


def claim(ratio: Interval, floor: Interval) -> str:
    """`faster`, `slower`, or `same` where the interval is not wholly outside the noise floor, taken on both sides."""
    top = max(floor.high, 1 / floor.low, 1.0)
    if ratio.low > top:
        return "faster"
    return "slower" if ratio.high < 1 / top else "same"


def far(ratio: Interval, floor: Interval) -> bool:
    """Whether a trial is faster by FAR times the reach of the noise floor, however wide that is."""
    return log(ratio.low) > FAR * log(max(floor.high, 1 / floor.low, 1.0))


def noisy(floor: Interval, steal: float) -> str | None:
    """Why nothing can be told from a run, or None: the control's interval is too wide, or others took the processor."""
    if steal > MOST_STEAL:
        return f"{steal:.1%} of the processor's time was taken by other machines (at most {MOST_STEAL:.0%})"
    reach = max(floor.high, 1 / floor.low) - 1
    if reach > WIDEST:
        return f"two equal models differed by up to {reach:.1%} (at most {WIDEST:.0%})"
    return None


def quiet(floor: Interval) -> bool:
    """Whether the control is narrow enough to tell `the same` from `unknown`."""
    return max(floor.high, 1 / floor.low) - 1 <= QUIET
