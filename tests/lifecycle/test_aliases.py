"""I8, I5: a resource keeps its identity under a new name, and so does everything that points to it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pulumi


def test_a_rename_with_an_alias_is_same(world: Any, kit: Any) -> None:
    def before() -> None:
        old = kit.thing("old", color="red")
        kit.thing("user", color=old.arn)

    def after() -> None:
        new = kit.thing("new", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="old")]), color="red")
        kit.thing("user", color=new.arn)

    world.made(before)
    id = world.entry("old").id

    result = world.up(after).raise_error()

    assert kit.ops(result) == [("same", "new"), ("same", "user")]
    assert world.cloud.mutations() == []
    assert world.entry("new").id == id
    assert world.entry("user").dependencies == (world.entry("new").urn,)


def test_no_record_ever_names_a_resource_that_is_not_there(world: Any, kit: Any) -> None:
    def before() -> None:
        old = kit.thing("old")
        for index in range(5):
            kit.thing(f"user{index}", color=old.arn)

    def after() -> None:
        kit.thing("new", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="old")]))
        raise ValueError("the program ends here")

    world.made(before)
    world.up(after)

    assert kit.sound(world.state) == ()
    assert world.entry("user3").dependencies == (world.entry("new").urn,)


def test_an_alias_by_urn_and_by_type(world: Any, kit: Any) -> None:
    class Other(pulumi.CustomResource):
        def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
            super().__init__("aws:test/other:Other", name, {}, opts)

    world.made(lambda: (kit.thing("a"), kit.thing("b")))
    urn = world.entry("a").urn

    def program() -> None:
        kit.thing("c", pulumi.ResourceOptions(aliases=[urn]))
        Other("b", pulumi.ResourceOptions(aliases=[pulumi.Alias(type_="aws:test/thing:Thing")]))

    assert kit.changes(world.up(program).raise_error()) == []
    assert world.names() == ["b", "c"]


def test_children_follow_a_renamed_parent(world: Any, kit: Any) -> None:
    world.made(lambda: kit.box("old", color="red"))

    result = world.up(
        lambda: kit.box("new", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="old")]), color="red")
    ).raise_error()

    assert kit.changes(result) == []
    assert world.names() == ["new-thing"]


def test_a_resource_that_moves_into_a_component(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a"))

    def program() -> None:
        box = kit.box("box")
        kit.thing("a", pulumi.ResourceOptions(parent=box, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))

    result = world.up(program).raise_error()
    assert ("same", "a") in kit.ops(result)
    assert world.entry("a").parent == world.entry("box").urn


def test_without_an_alias_the_old_one_is_deleted(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("old"))

    assert kit.ops(world.up(lambda: kit.thing("new")).raise_error()) == [("create", "new"), ("delete", "old")]


def test_a_rename_during_a_replacement_reaches_what_is_replaced(world: Any, kit: Any) -> None:
    def before() -> None:
        old = kit.thing("old")
        kit.thing("user", kind="x", color=old.arn)

    async def after() -> None:
        kit.thing("user", kind="y")
        async with asyncio.timeout(30):
            while not world.cloud.done("create"):
                await asyncio.sleep(0)
        kit.thing("new", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="old")]))

    def until_renamed(call: Any) -> None:
        deadline = time.monotonic() + 30
        while call.verb == "create" and "new" not in {item.name for item in world.recorder.state.resources}:
            assert time.monotonic() < deadline, "the rename does not wait for the creation"

    def the_old_one_stays(call: Any) -> None:
        until_renamed(call)
        if call.verb == "delete":
            raise kit.cloud.ResourceFailure("trouble")

    world.made(before)
    world.cloud.before = the_old_one_stays
    world.up(after)

    assert [entry.dependencies for entry in world.state.resources if entry.delete] == [(world.entry("new").urn,)]
    assert kit.sound(world.state) == ()
