"""Timing in turn, on clocks that are made up: what is found does not depend on this machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from math import exp
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.core import confined
from cloudmodel.optimize import measure, ratios
from cloudmodel.optimize.bounds import Interval


class World:
    """A clock that only moves when an arm works; `drift` makes everything slower as time goes on."""

    def __init__(self, noise: float = 0.0, drift: float = 0.0, seed: int = 1) -> None:
        self.time = 0.0
        self.noise, self.drift = noise, drift
        self.random = random.Random(seed)

    def clock(self) -> int:
        return int(self.time)

    def arm(self, cost: float) -> Callable[[], None]:
        def call() -> None:
            slow = 1 + self.drift * self.time / 1e9
            self.time += cost * slow * exp(self.random.gauss(0, self.noise))

        return call


def timed(world: World, cost: float, rounds: int = 40) -> tuple[Interval, Interval]:
    """The ratio of an arm of this cost to one of 1 ms, and the control's."""
    baseline, *others = (ratios.Arm(world.arm(each), 5) for each in (1e6, 1e6, cost))
    processes = []
    for seed in range(3):
        found, _ = ratios.blocks(baseline, others, rounds=rounds, clock=world.clock, seed=seed)
        processes.append(found)
    return tuple(ratios.interval([each[number] for each in processes], 0.95, 7) for number in (1, 0))  # type: ignore[return-value]


@pytest.mark.parametrize(("cost", "said"), [(0.5e6, "faster"), (0.9e6, "faster"), (1e6, "same"), (1.2e6, "slower")])
def test_claim_lies_outside_the_noise_floor(cost: float, said: str) -> None:
    ratio, floor = timed(World(noise=0.05), cost)
    assert ratios.claim(ratio, floor) == said
    assert ratio.low <= ratio.mid <= ratio.high
    assert ratio.low <= 1e6 / cost * 1.01
    assert ratio.high >= 1e6 / cost * 0.99


def test_drift_within_a_block_cancels() -> None:
    ratio, floor = timed(World(drift=0.5), 1e6)
    assert ratio.mid == pytest.approx(1, abs=1e-3)
    assert ratios.claim(ratio, floor) == "same"


def test_equal_arms_are_called_different_no_more_often_than_the_confidence_says() -> None:
    claims = [ratios.claim(*timed(World(noise=0.1, seed=seed), 1e6, rounds=12)) for seed in range(25)]
    assert claims.count("same") >= 22


def test_order_of_blocks_is_random_and_seeded() -> None:
    def order(seed: int) -> list[str]:
        heard: list[str] = []
        baseline, *others = (ratios.Arm(partial(heard.append, name)) for name in "abcd")
        ratios.blocks(baseline, others, rounds=3, clock=iter(range(10_000)).__next__, seed=seed)
        return heard

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == sorted("aabb" * 3 + "aacc" * 3 + "aadd" * 3)


def test_measuring_ends_after_a_whole_round_when_its_time_is_over() -> None:
    world = World()
    arm = ratios.Arm(world.arm(1e6))
    found, _ = ratios.blocks(arm, [arm, arm], rounds=1000, clock=world.clock, seed=0, stop=lambda: world.time > 5e7)
    assert len(found[0]) == len(found[1]) < 20


class Cache:
    """A clock on which a call of another arm than the last one takes half as long again, and the one after it a
    quarter: its weights come from far away."""

    def __init__(self) -> None:
        self.time, self.held, self.far = 0.0, "", 0

    def clock(self) -> int:
        return int(self.time)

    def arm(self, name: str, *, warm: int) -> ratios.Arm:
        def call() -> None:
            self.far = 2 if self.held != name else max(0, self.far - 1)
            self.held = name
            self.time += 1e6 * (1 + self.far / 4)

        return ratios.Arm(call, 5, warm)


@pytest.mark.parametrize("warm", [0, 2])
def test_equal_arms_take_the_same_once_what_another_left_in_the_cache_does_not_count(warm: int) -> None:
    cache = Cache()
    baseline, control = (cache.arm(name, warm=warm) for name in ("original", "copy"))
    found, times = ratios.blocks(baseline, [control], rounds=9, clock=cache.clock, seed=1)
    assert (max(map(abs, found[0])) < 1e-6) == (warm == 2)
    assert (max(times) == 1e6) == (warm == 2)


@pytest.mark.parametrize(
    ("floor", "steal", "void"),
    [
        ((0.99, 1.01), 0.0, None),
        ((0.85, 1.01), 0.0, "differed"),
        ((0.99, 1.2), 0.0, "differed"),
        ((0.99, 1.01), 0.02, "taken"),
    ],
)
def test_busy_machine_makes_a_run_void(floor: tuple[float, float], steal: float, void: str | None) -> None:
    found = ratios.noisy(Interval(floor[0], 1.0, floor[1]), steal)
    assert (found is None) if void is None else (found is not None and void in found)


@pytest.mark.parametrize(
    ("control", "trial", "steal", "claim"),
    [
        (0.001, 0.7, 0.0, "faster"),
        (0.001, 0.0, 0.0, "same"),
        (0.05, 0.0, 0.0, "inconclusive"),
        (0.05, 0.7, 0.0, "faster"),
        (0.3, 0.7, 0.0, "inconclusive"),
        (0.001, 0.7, 0.05, "inconclusive"),
        (0.001, -0.7, 0.0, "slower"),
    ],
)
def test_noisy_machine_gives_inconclusive(control: float, trial: float, steal: float, claim: str) -> None:
    spread = [-control, 0.0, control] * 5
    answer = {
        "control": spread, "trials": [[trial + each for each in spread]], "latency_ms": 1.0, "warm": 0,
        "conditions": {"steal": steal, "switches": 0, "load": 0.5},
    }  # fmt: skip
    shifted = [{**answer, "control": [each + shift for each in spread]} for shift in (-control, 0.0, control)]
    assert measure.summarize(shifted, 1, 0.95, 1).claim(0) == claim


@pytest.mark.parametrize(("trials", "processes"), [([-0.5], 1), ([-0.5, 0.2], 3)])
def test_short_look_ends_where_nothing_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: list[float], processes: int
) -> None:
    answer = {
        "control": [0.0] * 9, "trials": [[each] * 9 for each in trials], "latency_ms": 1.0, "warm": 0,
        "conditions": {"steal": 0.0, "switches": 0, "load": 0.5},
    }  # fmt: skip
    asked: list[Path] = []

    def run(*_: Any, folder: Path, **options: Any) -> dict[str, Any]:
        asked.append(folder)
        return answer

    monkeypatch.setattr(confined, "run", run)
    found = measure.measure(Path("a"), [Path("b")] * len(trials), Path("c"), tmp_path, effort=measure.LOOK)
    assert len(asked) == processes
    assert [ratio.mid for ratio in found.ratios] == pytest.approx([exp(each) for each in trials])
