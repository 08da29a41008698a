"""I10: a preview makes no mutating call and writes nothing; what it cannot know is unknown."""

from __future__ import annotations

from typing import Any

import pulumi

from cloudmodel.core.resource import UNKNOWN


def test_a_first_preview_knows_names_but_not_arns(world: Any, kit: Any) -> None:
    seen: list[Any] = []

    def program() -> None:
        first = kit.thing("a", color="red")
        first.arn.apply(seen.append)
        second = kit.thing("b", color=first.arn, size=first.color)
        pulumi.export("arn", second.arn)
        pulumi.export("color", first.color)

    before = world.state
    result = world.preview(program).raise_error()

    assert kit.ops(result) == [("create", "a"), ("create", "b")]
    assert world.cloud.calls == []
    assert world.state == before
    assert seen == []
    assert result.outputs == {"arn": UNKNOWN, "color": "red"}


def test_a_preview_says_what_up_then_does(world: Any, kit: Any) -> None:
    def before() -> None:
        first = kit.thing("a", kind="x")
        kit.thing("b", color=first.arn)
        kit.thing("gone")

    def after() -> None:
        first = kit.thing("a", kind="y")
        kit.thing("b", color=first.arn)
        kit.thing("new")

    world.made(before)
    planned = world.preview(after).raise_error()

    assert world.cloud.mutations() == []
    assert kit.ops(planned) == [
        ("create-replacement", "a"),
        ("replace", "a"),
        ("update", "b"),
        ("create", "new"),
        ("delete", "gone"),
        ("delete-replaced", "a"),
    ]
    change = next(step for step in planned.steps if step.name == "b").diff["color"]
    assert change.new == "[unknown]"
    assert kit.ops(world.up(after).raise_error()) == kit.ops(planned)


def test_events_of_a_preview_are_planned_ones(world: Any, kit: Any) -> None:
    world.preview(lambda: kit.thing("a")).raise_error()

    phases = {event.phase.value for event in world.events if hasattr(event, "phase")}
    assert phases == {"planned"}


def test_the_program_knows_that_it_is_a_preview(world: Any, kit: Any) -> None:
    seen: list[Any] = []
    program = lambda: seen.append((pulumi.runtime.is_dry_run(), pulumi.get_stack(), pulumi.get_project()))  # noqa: E731

    world.preview(program).raise_error()
    world.up(program).raise_error()

    assert seen == [(True, "dev", "proj"), (False, "dev", "proj")]
