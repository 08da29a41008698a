"""I13, I1: `import_` adopts what stands; `.get()` reads what others own and never deletes it."""

from __future__ import annotations

from typing import Any

import pulumi

THING = "aws:test/thing:Thing"


def exists(world: Any, name: str, **held: Any) -> None:
    world.cloud.things["", THING, name] = {"name": name, **held}


def test_import_adopts_without_a_mutating_call(world: Any, kit: Any) -> None:
    exists(world, "live", color="red")
    program = lambda: kit.thing("a", pulumi.ResourceOptions(import_="live"), name="live", color="red")  # noqa: E731

    assert kit.ops(world.preview(program).raise_error()) == [("import", "a")]
    result = world.up(program).raise_error()

    assert kit.ops(result) == [("import", "a")]
    assert world.cloud.mutations() == []
    assert (world.entry("a").id, world.entry("a").import_id) == ("live", "live")
    assert kit.changes(world.up(program).raise_error()) == []
    assert kit.changes(world.up(lambda: kit.thing("a", name="live", color="red")).raise_error()) == []


def test_import_of_what_differs_or_is_not_there_is_refused(world: Any, kit: Any) -> None:
    exists(world, "live", color="red")
    opts = pulumi.ResourceOptions

    differs = world.up(lambda: kit.thing("a", opts(import_="live"), name="live", color="blue"))
    missing = world.up(lambda: kit.thing("a", opts(import_="none"), name="none"))

    assert differs.error is not None
    assert "do not match the existing resource: color" in differs.error.message
    assert missing.error is not None
    assert "no aws:test/thing:Thing with the id 'none'" in missing.error.message
    assert world.names() == []
    assert world.cloud.mutations() == []


def test_an_imported_resource_that_still_names_its_id_is_not_replaced(world: Any, kit: Any) -> None:
    exists(world, "live", kind="x")
    opts = pulumi.ResourceOptions(import_="live")
    world.made(lambda: kit.thing("a", opts, name="live", kind="x"))

    result = world.up(lambda: kit.thing("a", opts, name="live", kind="y"))

    assert result.error is not None
    assert "cannot be replaced" in result.error.message
    assert world.cloud.names() == ["live"]


def test_get_reads_and_forgets_but_never_deletes(world: Any, kit: Any) -> None:
    exists(world, "theirs", color="red")

    def program() -> None:
        found = kit.thing("found", pulumi.ResourceOptions(id="theirs"))
        pulumi.export("color", found.color)
        kit.thing("a", color=found.arn)

    result = world.up(program).raise_error()

    assert result.outputs == {"color": "red"}
    assert ("read", "found") in kit.ops(result)
    entry = world.entry("found")
    assert (entry.external, entry.id) == (True, "theirs")
    world.cloud.forget_calls()
    world.up(program).raise_error()
    assert world.cloud.mutations() == []
    assert world.recorder.records == []
    gone = world.up(lambda: None).raise_error()
    assert ("discard", "found") in kit.ops(gone)
    assert world.cloud.names() == ["theirs"]


def test_get_of_what_is_not_there_fails(world: Any, kit: Any) -> None:
    result = world.up(lambda: kit.thing("found", pulumi.ResourceOptions(id="nowhere")))

    assert result.error is not None
    assert "no aws:test/thing:Thing with the id 'nowhere'" in result.error.message


def test_get_with_an_id_that_a_preview_cannot_know(world: Any, kit: Any) -> None:
    def program() -> None:
        first = kit.thing("a", name="n")
        found = kit.thing("found", pulumi.ResourceOptions(id=first.id))
        pulumi.export("arn", found.arn)

    world.preview(program).raise_error()
    assert world.up(program).raise_error().outputs == {"arn": "arn:n"}
