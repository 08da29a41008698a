"""I13: what is retained, or goes with another resource, is forgotten without a Delete call."""

from __future__ import annotations

from typing import Any

import pulumi


def test_a_retained_resource_stays_in_the_cloud(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", pulumi.ResourceOptions(retain_on_delete=True)))

    result = world.up(lambda: None).raise_error()

    assert kit.ops(result) == [("delete", "a")]
    assert next(step for step in result.steps if step.name == "a").note == "retained"
    assert world.cloud.mutations() == []
    assert len(world.cloud.names()) == 1
    assert world.names() == []


def test_the_old_half_of_a_replacement_is_retained_too(world: Any, kit: Any) -> None:
    opts = pulumi.ResourceOptions(retain_on_delete=True)
    world.made(lambda: kit.thing("a", opts, kind="x"))

    world.up(lambda: kit.thing("a", opts, kind="y")).raise_error()

    assert world.cloud.done("delete") == []
    assert len(world.cloud.names()) == 2


def test_what_is_deleted_with_another_gets_no_call_of_its_own(world: Any, kit: Any) -> None:
    def program() -> None:
        whole = kit.thing("whole")
        kit.thing("part", pulumi.ResourceOptions(deleted_with=whole))

    world.made(program)
    world.destroy().raise_error()

    assert world.cloud.done("delete") == ["whole"]
    assert world.state.resources == ()


def test_what_is_deleted_with_another_is_deleted_when_it_goes_alone(world: Any, kit: Any) -> None:
    def program(part: bool) -> None:
        whole = kit.thing("whole")
        if part:
            kit.thing("part", pulumi.ResourceOptions(deleted_with=whole))

    world.made(lambda: program(True))
    world.up(lambda: program(False)).raise_error()

    assert world.cloud.done("delete") == ["part"]


def test_what_would_be_deleted_with_a_retained_one_is_deleted_by_itself(world: Any, kit: Any) -> None:
    def program() -> None:
        whole = kit.thing("whole", pulumi.ResourceOptions(retain_on_delete=True))
        kit.thing("part", pulumi.ResourceOptions(deleted_with=whole))

    world.made(program)
    world.destroy().raise_error()

    assert world.cloud.done("delete") == ["part"]
