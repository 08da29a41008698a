"""Trap 1: the work of a run grows with the number of resources, not with its square."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


def work_of(kit: Any, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many futures the SDK waited on, and how many requests it made, in a no-op `up` of `count` resources."""
    world = kit.world("stub")

    def program() -> None:
        root = kit.thing("root", name="root")
        for index in range(1, count):
            if index % 10 == 0:
                root = kit.thing(f"t{index}", name=f"t{index}", color=root.arn)
            else:
                kit.thing(f"t{index}", name=f"t{index}", color=root.arn)

    world.made(program)
    waited = 0
    wait = asyncio.wait

    async def counting(futures: Any, **options: Any) -> Any:
        nonlocal waited
        futures = list(futures)
        waited += len(futures)
        return await wait(futures, **options)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "wait", counting)
        result = world.up(program).raise_error()
    assert kit.changes(result) == []
    assert world.cloud.calls == []
    return waited, len(result.steps)


def test_993_resources_cost_what_their_number_says(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    few, steps = work_of(kit, 99, monkeypatch)
    many, more_steps = work_of(kit, 993, monkeypatch)

    assert (steps, more_steps) == (100, 994)
    assert many <= 12 * max(few, 99), "ten times the resources, about ten times the futures waited on"
