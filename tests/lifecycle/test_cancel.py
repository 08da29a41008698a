"""Stopping a run: what runs finishes and is recorded, nothing else starts (I1, I8)."""

from __future__ import annotations

import threading
from typing import Any

import pytest


def test_stop_ends_the_run_with_everything_recorded(world: Any, kit: Any) -> None:
    world.parallel = 2
    world.cloud.before = lambda call: world.stop.set()

    def program() -> None:
        first = [kit.thing(f"t{index}") for index in range(12)]
        kit.thing("last", color=first[0].arn)

    result = world.up(program)

    assert type(result.error).__name__ == "Cancelled"
    assert result.error is not None
    assert result.error.code == 8
    assert len(world.cloud.mutations()) <= 2
    assert len(world.names()) == len(world.cloud.names())
    assert world.state.pending == ()
    world.stop.clear()
    world.cloud.before = lambda call: None
    world.up(program).raise_error()
    assert len(world.cloud.names()) == 13


def test_stop_during_destroy(world: Any, kit: Any) -> None:
    world.parallel = 1
    world.made(lambda: [kit.thing(f"t{index}") for index in range(6)])
    world.cloud.before = lambda call: world.stop.set()

    result = world.destroy()

    assert type(result.error).__name__ == "Cancelled"
    assert len(world.cloud.mutations()) == 1
    assert world.names() == world.names_in_cloud()


def test_stop_during_refresh(world: Any, kit: Any) -> None:
    world.parallel = 1
    world.made(lambda: [kit.thing(f"t{index}") for index in range(6)])
    before = world.state
    world.cloud.before = lambda call: world.stop.set()

    result = world.refresh()

    assert type(result.error).__name__ == "Cancelled"
    assert world.state == before


def test_a_run_that_is_stopped_before_it_begins_does_nothing(world: Any, kit: Any) -> None:
    world.stop.set()

    assert type(world.up(lambda: kit.thing("a")).error).__name__ == "Cancelled"
    assert world.cloud.calls == []
    assert world.state.resources == ()


def test_an_interrupt_of_the_caller_waits_for_what_runs(world: Any, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, interrupted = threading.Event(), threading.Event()
    join = threading.Thread.join

    def joining(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "program" and not interrupted.is_set():
            assert at_work.wait(timeout=20)
            interrupted.set()
            raise KeyboardInterrupt
        join(thread, timeout)

    def before(call: Any) -> None:
        at_work.set()
        assert interrupted.wait(timeout=20)

    monkeypatch.setattr(threading.Thread, "join", joining)
    world.parallel = 1
    world.cloud.before = before

    with pytest.raises(KeyboardInterrupt):
        world.up(lambda: [kit.thing(f"t{index}") for index in range(5)])

    assert world.cloud.running == 0
    assert world.names() == world.names_in_cloud()
    assert world.state.pending == ()
