"""I9, I13: a change in place is one update, and what depends on it follows."""

from __future__ import annotations

from typing import Any

import pulumi


def test_a_changed_input_is_one_update_with_its_path(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", color="red", tags={"owner": "x"}))

    result = world.up(lambda: kit.thing("a", color="blue", tags={"owner": "x"})).raise_error()

    assert kit.ops(result) == [("update", "a")]
    change = next(step for step in result.steps if step.name == "a").diff["color"]
    assert (change.kind.value, change.old, change.new) == ("update", "red", "blue")
    assert world.entry("a").inputs["color"] == "blue"
    assert [call.verb for call in world.cloud.mutations()] == ["update"]


def test_inputs_that_appear_and_vanish_are_added_and_deleted(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", color="red"))

    result = world.up(lambda: kit.thing("a", size=1)).raise_error()

    diff = next(step for step in result.steps if step.name == "a").diff
    assert {path: change.kind.value for path, change in diff.items()} == {"color": "delete", "size": "add"}


def test_a_dependent_that_only_reads_an_output_that_stays_is_the_same(world: Any, kit: Any) -> None:
    def program(color: str) -> None:
        first = kit.thing("a", color=color)
        kit.thing("b", color=first.arn)

    world.made(lambda: program("red"))
    assert kit.ops(world.up(lambda: program("blue")).raise_error()) == [("update", "a"), ("same", "b")]


def test_a_change_of_options_alone_is_same_and_written(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a"))

    result = world.up(lambda: kit.thing("a", pulumi.ResourceOptions(protect=True))).raise_error()

    assert kit.ops(result) == [("same", "a")]
    assert world.entry("a").protect
    assert world.cloud.mutations() == []
