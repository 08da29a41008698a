"""I1, I2, I8: what an interrupted run left is found in the cloud; interrupted and rerun is uninterrupted."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

TOTAL = 6


def before(kit: Any) -> None:
    first = kit.thing("a", name="a", kind="x", zone="p")
    second = kit.thing("b", name="b", color=first.arn)
    kit.thing("c", name="c", zone=second.arn, size=1)
    kit.thing("d", name="d", password=pulumi.Output.secret("canary"))


def after(kit: Any) -> None:
    """One of everything: a is replaced (deleted first), b updated, c same, d deleted, e created and used."""
    first = kit.thing("a", name="a", kind="x", zone="q")
    second = kit.thing("b", name="b", color=first.arn, size=2)
    kit.thing("c", name="c", zone=second.arn, size=1)
    fifth = kit.thing("e", name="e", password=pulumi.Output.secret("canary"))
    kit.thing("f", name="f", color=fifth.arn)


@pytest.mark.parametrize("landed", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("crash_at", range(1, TOTAL + 1))
def test_a_crash_at_any_call_is_made_good_by_the_next_up(world: Any, kit: Any, crash_at: int, landed: bool) -> None:
    calm = kit.world("stub")
    calm.made(lambda: before(kit))
    calm.up(lambda: after(kit)).raise_error()
    assert len(calm.cloud.mutations()) == TOTAL
    world.made(lambda: before(kit))
    world.cloud.crash_at, world.cloud.crash_after_effect = crash_at, landed

    with pytest.raises(kit.cloud.Crash):
        world.up(lambda: after(kit))
    assert kit.sound(world.state) == ()
    assert world.unrecorded() == set(), "I1: everything that exists is in the state or pending"
    world.restart()
    result = world.up(lambda: after(kit)).raise_error()

    assert result.failed == ()
    assert world.state.pending == ()
    assert kit.sound(world.state) == ()
    assert kit.equal(world.state, calm.state)
    assert world.cloud.things == calm.cloud.things
    world.cloud.forget_calls()
    assert kit.changes(world.up(lambda: after(kit)).raise_error()) == []
    assert world.cloud.mutations() == []


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("crash_at", range(1, 5))
def test_a_crash_during_destroy(world: Any, kit: Any, crash_at: int, landed: bool) -> None:
    world.made(lambda: before(kit))
    world.cloud.crash_at, world.cloud.crash_after_effect = crash_at, landed

    with pytest.raises(kit.cloud.Crash):
        world.destroy()
    assert kit.sound(world.state) == ()
    world.restart()
    world.destroy().raise_error()

    assert world.cloud.things == {}
    assert world.state.resources == ()
    assert world.state.pending == ()


def test_a_create_whose_reply_was_lost_is_adopted(world: Any, kit: Any) -> None:
    world.cloud.lost_replies.add(("create", "a"))

    failed = world.up(lambda: kit.thing("a", name="a"))

    assert failed.error is not None
    assert [operation.kind.value for operation in world.state.pending] == ["creating"]
    assert failed.failed[0].uncertain
    world.cloud.lost_replies.clear()
    world.cloud.forget_calls()
    world.up(lambda: kit.thing("a", name="a")).raise_error()
    assert world.cloud.done("create") == []
    assert world.entry("a").id == "a"
    assert any("adopted as 'a'" in getattr(event, "message", "") for event in world.events)


def test_a_creation_that_did_nothing_is_dropped(world: Any, kit: Any) -> None:
    world.cloud.failures["create", "a"] = kit.cloud.ResourceFailure("timed out", uncertain=True)
    world.up(lambda: kit.thing("a", name="a"))
    world.cloud.failures.clear()
    world.cloud.forget_calls()

    world.up(lambda: kit.thing("a", name="a")).raise_error()

    assert world.cloud.done("create") == ["a"]


def test_a_lost_replacement_does_not_take_the_old_one_for_the_new(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", kind="x"))
    world.cloud.lost_replies.add(("create", "a"))
    assert world.up(lambda: kit.thing("a", kind="y")).error is not None
    assert len(world.cloud.names()) == 2
    world.cloud.lost_replies.clear()

    world.up(lambda: kit.thing("a", kind="y")).raise_error()

    assert world.cloud.names() == [world.entry("a").id]
    assert world.cloud.things["", "aws:test/thing:Thing", world.entry("a").id]["kind"] == "y"


def test_the_old_one_under_the_same_name_is_not_taken_for_its_replacement(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", name="n", kind="x"))
    world.cloud.failures["create", "a"] = kit.cloud.ResourceFailure("timed out", uncertain=True)
    assert world.up(lambda: kit.thing("a", name="n", kind="y")).error is not None
    world.cloud.failures.clear()

    world.refresh().raise_error()

    assert world.entry("a").inputs["kind"] == "x"
    assert [entry.delete for entry in world.state.resources if entry.name == "a"] == [False]


def test_an_update_that_stopped_half_way_is_seen_even_when_the_program_went_back(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", name="a", color="red"))
    world.cloud.lost_replies.add(("update", "a"))
    world.up(lambda: kit.thing("a", name="a", color="blue"))
    world.cloud.lost_replies.clear()

    world.up(lambda: kit.thing("a", name="a", color="red")).raise_error()

    assert world.cloud.things["", "aws:test/thing:Thing", "a"]["color"] == "red"


def test_when_the_cloud_does_not_say_the_operation_stays_on_record(world: Any, kit: Any) -> None:
    world.cloud.lost_replies.add(("create", "a"))
    world.up(lambda: kit.thing("a", name="a"))
    world.cloud.lost_replies.clear()
    world.cloud.failures["find", "a"] = kit.cloud.ResourceFailure("the network is down")
    world.cloud.forget_calls()

    result = world.up(lambda: kit.thing("a", name="a"))

    assert result.error is not None
    assert "the network is down" in result.error.message
    assert len(world.state.pending) == 1
    assert world.cloud.mutations() == []


def test_a_preview_settles_for_itself_alone(world: Any, kit: Any) -> None:
    world.cloud.lost_replies.add(("create", "a"))
    world.up(lambda: kit.thing("a", name="a"))
    state = world.state

    planned = world.preview(lambda: kit.thing("a", name="a")).raise_error()

    assert kit.changes(planned) == [("update", "a")]
    assert world.state == state


def test_refresh_settles_too(world: Any, kit: Any) -> None:
    world.cloud.lost_replies.add(("create", "a"))
    world.up(lambda: kit.thing("a", name="a"))

    world.refresh().raise_error()

    assert world.state.pending == ()
    assert world.names() == ["a"]
