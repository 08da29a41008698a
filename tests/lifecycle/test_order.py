"""Trap 3: one canonical order for steps and state, whatever order the requests arrived in."""

from __future__ import annotations

import random
from typing import Any


def program(kit: Any, shuffle: random.Random) -> None:
    names = [f"t{index:02}" for index in range(12)]
    shuffle.shuffle(names)
    for name in names:
        if name in ("t00", "t05"):
            continue
        kit.thing(name)
    root = kit.thing("t05")
    kit.thing("t00", color=root.arn)


def test_the_same_program_gives_the_same_steps_and_state_in_any_arrival_order(world: Any, kit: Any) -> None:
    seen = set()
    states = []
    for seed in range(4):
        one = kit.world(world.transport)
        result = one.up(lambda seed=seed: program(kit, random.Random(seed))).raise_error()
        seen.add(str(kit.ops(result)))
        states.append([entry.urn for entry in result.state.resources])

    assert len(seen) == 1
    assert all(state == states[0] for state in states)
    steps = kit.ops(result)
    assert steps.index(("create", "t05")) < steps.index(("create", "t00"))
    assert [name for _, name in steps if name not in ("t00", "t05")] == sorted(
        name for _, name in steps if name not in ("t00", "t05")
    )
