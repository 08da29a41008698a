"""Provider calls run side by side, up to `parallel` of them and never more; hooks of the SDK do not lock each other."""

from __future__ import annotations

import threading
from typing import Any

import pulumi
import pytest

from cloudmodel.engine.executor import Executor


@pytest.mark.parametrize("parallel", [1, 3, 8, 20])
def test_creates_reach_parallel_and_never_exceed_it(
    world: Any, kit: Any, parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is held until all requests have come to the door of the executor."""
    world.parallel = parallel
    total = parallel * 3
    changed = threading.Condition()
    arrived: list[int] = []
    slot = Executor.slot

    def counted(executor: Executor) -> Any:
        with changed:
            arrived.append(1)
            changed.notify_all()
        return slot(executor)

    def before(call: Any) -> None:
        with changed:
            assert changed.wait_for(lambda: len(arrived) >= total, timeout=20)

    monkeypatch.setattr(Executor, "slot", counted)
    world.cloud.before = before

    world.up(lambda: [kit.thing(f"t{index}") for index in range(total)]).raise_error()

    assert world.cloud.most_running == parallel


@pytest.mark.parametrize("parallel", [1, 3, 8])
def test_deletes_reach_parallel_and_never_exceed_it(world: Any, kit: Any, parallel: int) -> None:
    world.made(lambda: [kit.thing(f"t{index}") for index in range(parallel * 3)])
    world.parallel = parallel
    together = threading.Barrier(parallel)
    world.cloud.before = lambda call: together.wait(timeout=20) and None

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
