"""I13: what is protected is never deleted or replaced."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

PROTECTED = pulumi.ResourceOptions(protect=True)


def stood(world: Any, kit: Any) -> None:
    def program() -> None:
        base = kit.thing("base")
        kit.thing("kept", PROTECTED, zone="x", kind="x", color=base.arn)
        kit.thing("other")

    world.made(program)


def test_removal_from_the_program_is_refused(world: Any, kit: Any) -> None:
    stood(world, kit)

    result = world.up(lambda: kit.thing("other"))

    assert result.error is not None
    assert "protected" in result.error.message
    assert result.error.hint is not None
    assert "protect" in result.error.hint
    assert world.cloud.mutations() == []
    assert world.names() == ["base", "kept", "other"]


@pytest.mark.parametrize("change", [{"zone": "y", "kind": "x"}, {"zone": "x", "kind": "y"}], ids=["zone", "kind"])
def test_replacement_is_refused_in_both_orders(world: Any, kit: Any, change: Any) -> None:
    stood(world, kit)

    def program() -> None:
        base = kit.thing("base")
        kit.thing("kept", PROTECTED, color=base.arn, **change)
        kit.thing("other")

    for result in (world.preview(program), world.up(program)):
        assert result.error is not None
        assert "cannot be replaced" in result.error.message
    assert world.cloud.mutations() == []


def test_destroy_deletes_the_others_then_fails(world: Any, kit: Any) -> None:
    stood(world, kit)

    result = world.destroy()

    assert result.error is not None
    assert world.cloud.done("delete") == ["other"]
    assert world.names() == ["base", "kept"]


def test_a_protected_dependent_stops_a_deletion_before_it_begins(world: Any, kit: Any) -> None:
    def program(zone: str) -> None:
        base = kit.thing("base", zone=zone)
        kit.thing("kept", PROTECTED, zone=base.arn)

    world.made(lambda: program("x"))

    result = world.up(lambda: program("y"))

    assert result.error is not None
    assert world.cloud.mutations() == []
    assert not world.entry("kept").pending_replacement


def test_taking_the_flag_off_is_same_and_written(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", PROTECTED))

    assert kit.ops(world.up(lambda: kit.thing("a")).raise_error()) == [("same", "a")]
    assert not world.entry("a").protect
    world.up(lambda: None).raise_error()
    assert world.names() == []


@pytest.mark.parametrize("how", ["import_", "id"])
def test_what_stands_elsewhere_does_not_take_its_place(world: Any, kit: Any, how: str) -> None:
    world.made(lambda: kit.thing("a", PROTECTED, name="own"))
    world.cloud.things["", "aws:test/thing:Thing", "theirs"] = {"name": "theirs"}
    opts = pulumi.ResourceOptions()
    setattr(opts, how, "theirs")
    program = lambda: kit.thing("a", opts, name="theirs")  # noqa: E731

    for result in (world.preview(program), world.up(program)):
        assert result.error is not None
        assert "cannot be replaced" in result.error.message
    assert world.cloud.names() == ["own", "theirs"]
    assert world.entry("a").id == "own"


def test_what_would_be_deleted_with_a_protected_one_is_deleted_by_itself(world: Any, kit: Any) -> None:
    def program() -> None:
        whole = kit.thing("whole", PROTECTED)
        kit.thing("part", pulumi.ResourceOptions(deleted_with=whole))

    world.made(program)

    assert world.destroy().error is not None
    assert world.cloud.done("delete") == ["part"]
    assert world.names() == world.names_in_cloud() == ["whole"]
