"""I14: one failed branch never stops the record of the others; nothing new starts, nothing is deleted."""

from __future__ import annotations

import threading
from typing import Any


def test_what_runs_finishes_and_is_recorded(world: Any, kit: Any) -> None:
    started, others = threading.Event(), threading.Event()
    world.made(lambda: kit.thing("old"))

    def before(call: Any) -> None:
        if call.name == "bad":
            started.wait(timeout=20)
            raise kit.cloud.ResourceFailure("no", request="CreateThing abc", hint="ask for more")
        if call.name == "slow":
            started.set()
            others.wait(timeout=20)

    world.cloud.before = before

    def program() -> None:
        slow = kit.thing("slow")
        bad = kit.thing("bad")
        kit.thing("after-bad", color=bad.arn)
        kit.thing("after-slow", color=slow.arn)

    def release(event: Any) -> None:
        world.events.append(event)
        if getattr(event, "phase", None) is not None and event.phase.value == "failed":
            others.set()

    recorder = kit.recorder(world.state)
    result = kit.engine.up(world.run(program), recorder, release)

    names = {entry.name for entry in recorder.state.resources}
    assert "slow" in names
    assert "old" in names, "a run that failed deletes nothing"
    assert not names & {"bad", "after-bad", "after-slow"}
    assert recorder.state.pending == ()
    assert result.error is not None
    assert result.error.code == 4
    assert [(failure.step.name, failure.request) for failure in result.failed] == [("bad", "CreateThing abc")]
    assert result.error.hint == "ask for more"
    assert kit.sound(recorder.state) == ()


def test_the_next_run_finishes_the_job(world: Any, kit: Any) -> None:
    def program() -> None:
        bad = kit.thing("bad")
        kit.thing("next", color=bad.arn)

    world.cloud.failures["create", "bad"] = kit.cloud.ResourceFailure("no")
    assert world.up(program).error is not None
    world.cloud.failures.clear()

    assert kit.changes(world.up(program).raise_error()) == [("create", "bad"), ("create", "next")]


def test_several_failures_are_all_told(world: Any, kit: Any) -> None:
    world.parallel = 2
    both = threading.Barrier(2)

    def before(call: Any) -> None:
        both.wait(timeout=20)
        raise kit.cloud.ResourceFailure(f"no {call.name}")

    world.cloud.before = before
    result = world.up(lambda: (kit.thing("a"), kit.thing("b")))

    assert [failure.step.name for failure in result.failed] == ["a", "b"]
    assert result.error is not None
    assert "1 more" in result.error.message
    assert len(result.error.details["failed"]) == 2


def test_a_resource_that_exists_but_is_not_ready_is_recorded_and_mended(world: Any, kit: Any) -> None:
    live = kit.live(id="n", outputs={"arn": "arn:n"})
    world.cloud.failures["create", "a"] = kit.not_ready("it has no capacity", live)

    assert world.up(lambda: kit.thing("a", name="n")).error is not None
    entry = world.entry("a")
    assert (entry.id, entry.init_errors) == ("n", ("it has no capacity",))
    world.cloud.failures.clear()
    world.cloud.things["", "aws:test/thing:Thing", "n"] = {"name": "n"}
    world.cloud.forget_calls()

    assert kit.changes(world.up(lambda: kit.thing("a", name="n")).raise_error()) == [("update", "a")]
    assert world.entry("a").init_errors == ()
    assert kit.changes(world.up(lambda: kit.thing("a", name="n")).raise_error()) == []


def test_a_record_that_cannot_be_saved_stops_the_run(world: Any, kit: Any) -> None:
    class Full(kit.recorder):  # type: ignore[misc]
        def end(self, operation: int, mutation: Any) -> None:
            raise kit.save_failed("the disk is full")

    recorder = Full(world.state)
    world.parallel = 1

    result = kit.engine.up(world.run(lambda: [kit.thing(f"t{n}") for n in range(5)]), recorder, world.events.append)

    assert type(result.error) is kit.save_failed
    assert len(world.cloud.mutations()) == 1
    assert len(recorder.state.pending) == 1, "what was begun stays on record (I1)"
