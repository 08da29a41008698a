"""Provider calls run side by side, up to `parallel` of them and never more; hooks of the SDK do not lock each other."""

from __future__ import annotations

import threading
from typing import Any

import pulumi
import pytest


def gathering(world: Any, wanted: int) -> None:
    """Hold every mutating call until `wanted` of them are at work at once."""
    together = threading.Barrier(wanted)

    def before(call: Any) -> None:
        if call.verb in ("create", "delete", "update"):
            together.wait(timeout=20)

    world.cloud.before = before


@pytest.mark.parametrize("parallel", [1, 3, 8, 70])
def test_creates_and_deletes_reach_parallel_and_never_exceed_it(world: Any, kit: Any, parallel: int) -> None:
    world.parallel = parallel
    gathering(world, parallel)

    def program() -> None:
        for index in range(parallel * 3):
            kit.thing(f"t{index}")

    world.up(program).raise_error()
    assert world.cloud.most_running == parallel
    world.cloud.forget_calls()
    world.destroy().raise_error()
    assert world.cloud.most_running == parallel


def test_functions_are_called_while_every_place_is_taken(world: Any, kit: Any) -> None:
    world.parallel = 1

    def program() -> None:
        first = kit.thing("a")

        def look(arn: str) -> str:
            return str(pulumi.runtime.invoke("aws:test/get:get", {"b": arn}).value["echo"]["b"])

        for index in range(5):
            kit.thing(f"b{index}", color=first.arn.apply(look))

    world.up(program).raise_error()
    assert world.cloud.count()["invoke"] == 5


def test_a_run_without_a_place_is_refused(world: Any, kit: Any) -> None:
    world.parallel = 0
    with pytest.raises(kit.usage_error):
        world.up(lambda: None)
