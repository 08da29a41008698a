"""I13: deletes run in reverse dependency order, after everything else, independent ones side by side."""

from __future__ import annotations

from typing import Any

import pulumi


def tree(kit: Any) -> None:
    root = kit.thing("root")
    left = kit.thing("left", color=root.arn)
    right = kit.thing("right", pulumi.ResourceOptions(depends_on=[root]))
    kit.thing("leaf", color=left.arn, size=right.arn)
    box = kit.box("box")
    kit.thing("child", pulumi.ResourceOptions(parent=box.thing))


def test_destroy_deletes_users_before_what_they_use(world: Any, kit: Any) -> None:
    world.made(lambda: tree(kit))

    result = world.destroy().raise_error()

    order = world.cloud.done("delete")
    assert sorted(order) == ["box-thing", "child", "leaf", "left", "right", "root"]
    for earlier, later in [("leaf", "left"), ("leaf", "right"), ("left", "root"), ("right", "root")]:
        assert order.index(earlier) < order.index(later)
    assert order.index("child") < order.index("box-thing")
    assert world.state.resources == ()
    assert world.cloud.names() == []
    names = [name for _, name in kit.ops(result)]
    assert names.index("leaf") < names.index("left") < names.index("root")
    assert names.index("box-thing") < names.index("box")


def test_what_the_program_no_longer_asks_for_is_deleted_last(world: Any, kit: Any) -> None:
    world.made(lambda: tree(kit))

    def smaller() -> None:
        kit.thing("root")
        kit.thing("new")

    result = world.up(smaller).raise_error()

    assert world.cloud.mutations()[0].verb == "create"
    assert world.names() == ["new", "root"]
    assert kit.ops(result)[:2] == [("create", "new"), ("same", "root")]


def test_destroy_needs_no_program_and_configures_from_the_state(world: Any, kit: Any) -> None:
    world.config = {"aws:region": "eu-central-1"}
    world.made(lambda: kit.thing("a"))
    world.config = {}
    world.cloud.configured.clear()

    world.destroy().raise_error()

    assert world.cloud.configured == [{"region": "eu-central-1"}]


def test_preview_of_destroy_calls_nothing_and_keeps_the_state(world: Any, kit: Any) -> None:
    world.made(lambda: tree(kit))
    before = world.state

    planned = world.destroy(preview=True).raise_error()

    assert world.cloud.mutations() == []
    assert world.state == before
    assert kit.ops(planned) == kit.ops(world.destroy().raise_error())


def test_a_failed_deletion_keeps_what_it_needs(world: Any, kit: Any) -> None:
    world.made(lambda: tree(kit))
    world.cloud.failures["delete", "left"] = kit.cloud.ResourceFailure("still in use")

    result = world.destroy()

    assert result.error is not None
    assert result.error.code == 4
    assert "still in use" in result.error.message
    assert {"left", "root"} <= set(world.names())
    assert "leaf" not in world.names()
    world.cloud.failures.clear()
    world.destroy().raise_error()
    assert world.cloud.names() == []
