"""I17: refresh takes over what the cloud holds and drops a resource only on a confirmed not-found."""

from __future__ import annotations

from typing import Any

import pulumi

THING = "aws:test/thing:Thing"


def program(kit: Any) -> None:
    first = kit.thing("a", name="a", color="red")
    kit.thing("b", name="b", size=first.arn, password=pulumi.Output.secret("canary"))
    kit.thing("child", pulumi.ResourceOptions(parent=first), name="child")


def test_a_clean_stack_is_same_and_nothing_is_written(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    before = world.state

    result = world.refresh().raise_error()

    assert kit.changes(result) == []
    assert sorted(kit.ops(result)) == [("same", "a"), ("same", "b"), ("same", "child")]
    assert world.recorder.records == []
    assert world.state == before
    assert world.cloud.count() == {"read": 3}


def test_drift_is_taken_over_and_up_puts_it_back(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    world.cloud.things["", THING, "a"]["color"] = "green"

    result = world.refresh().raise_error()

    assert kit.changes(result) == [("refresh", "a")]
    change = next(step for step in result.steps if step.name == "a").diff["color"]
    assert (change.old, change.new) == ("red", "green")
    assert world.entry("a").inputs["color"] == "green"
    assert kit.changes(world.up(lambda: program(kit)).raise_error()) == [("update", "a")]
    assert world.cloud.things["", THING, "a"]["color"] == "red"


def test_what_is_gone_is_dropped_with_every_mention_of_it(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    del world.cloud.things["", THING, "a"]

    result = world.refresh().raise_error()

    assert kit.changes(result) == [("delete", "a")]
    assert world.names() == ["b", "child"]
    assert world.entry("b").dependencies == ()
    assert world.entry("child").parent == world.entry("proj-dev").urn
    assert kit.sound(world.state) == ()


def test_a_read_that_fails_keeps_the_resource_and_fails_the_run_at_its_end(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    world.cloud.failures["read", "a"] = kit.cloud.ResourceFailure("access denied")
    world.cloud.things["", THING, "b"]["size"] = 9

    result = world.refresh()

    assert result.error is not None
    assert result.error.code == 4
    assert "access denied" in result.error.message
    assert world.names() == ["a", "b", "child"]
    assert world.entry("b").inputs["size"] == 9


def test_secrets_stay_secret(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    world.cloud.things["", THING, "b"]["password"] = "canary-2"

    result = world.refresh().raise_error()

    assert world.entry("b").inputs["password"]["value"] == "canary-2"
    assert world.entry("b").outputs["password"]["value"] == "canary-2"
    assert "canary" not in str(result.steps)


def test_preview_of_refresh_writes_nothing(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    world.cloud.things["", THING, "a"]["color"] = "green"
    before = world.state

    assert kit.changes(world.refresh(preview=True).raise_error()) == [("refresh", "a")]
    assert world.state == before


def test_preview_and_up_may_refresh_first(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    world.cloud.things["", THING, "a"]["color"] = "green"

    assert kit.changes(world.preview(lambda: program(kit)).raise_error()) == []
    planned = world.preview(lambda: program(kit), refresh=True).raise_error()
    assert kit.changes(planned) == [("refresh", "a"), ("update", "a")]
    assert kit.changes(world.up(lambda: program(kit), refresh=True).raise_error()) == kit.changes(planned)
    assert world.cloud.things["", THING, "a"]["color"] == "red"


def test_refresh_does_not_run_the_program(world: Any, kit: Any) -> None:
    world.made(lambda: program(kit))
    world.refresh().raise_error()
    assert world.names() == ["a", "b", "child"]
