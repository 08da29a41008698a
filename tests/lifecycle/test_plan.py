"""I11: apply does only what the plan says, and stops before the first call that it does not allow."""

from __future__ import annotations

from typing import Any

import pytest


def stood(world: Any, kit: Any) -> None:
    def program() -> None:
        kit.thing("a", color="red", size=1)
        kit.thing("gone")

    world.made(program)


def test_what_was_planned_is_done(world: Any, kit: Any) -> None:
    stood(world, kit)

    def program() -> None:
        kit.thing("a", color="blue", size=1)
        kit.thing("new", kind="x")

    plan = kit.engine.plan_of(world.preview(program).raise_error().steps)
    result = world.up(program, plan=plan).raise_error()
    assert kit.changes(result) == [("update", "a"), ("create", "new"), ("delete", "gone")]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda kit: kit.thing("a", color="red", size=2), "would also change size"),
        (lambda kit: kit.thing("a", color="blue", kind="y"), "create-replacement is not allowed"),
        (lambda kit: (kit.thing("a", color="blue", size=1), kit.thing("more")), "no steps expected"),
    ],
)
def test_another_step_is_refused_before_its_call(world: Any, kit: Any, changed: Any, why: str) -> None:
    stood(world, kit)
    plan = kit.engine.plan_of(world.preview(lambda: kit.thing("a", color="blue", size=1)).raise_error().steps)

    world.parallel = 1
    result = world.up(lambda: changed(kit), plan=plan)

    assert type(result.error).__name__ == "StalePlan"
    assert result.error is not None
    assert result.error.code == 17
    assert why in result.error.message
    assert {call.verb for call in world.cloud.mutations()} <= {"update"}
    assert "gone" in world.names()


def test_a_deletion_that_was_not_planned_is_refused(world: Any, kit: Any) -> None:
    stood(world, kit)

    def program(both: bool) -> None:
        kit.thing("a", color="red", size=1)
        if both:
            kit.thing("gone")

    plan = kit.engine.plan_of(world.preview(lambda: program(True)).raise_error().steps)

    assert type(world.up(lambda: program(False), plan=plan).error).__name__ == "StalePlan"
    assert world.cloud.mutations() == []


def test_doing_less_than_the_plan_is_allowed(world: Any, kit: Any) -> None:
    stood(world, kit)
    program = lambda: (kit.thing("a", color="blue", size=1), kit.thing("gone"))  # noqa: E731
    plan = kit.engine.plan_of(world.preview(program).raise_error().steps)
    world.up(program).raise_error()

    assert kit.changes(world.up(program, plan=plan).raise_error()) == []
