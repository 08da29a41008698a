"""I9: what the program asks for is made once; a second `up` makes no change and no mutating call."""

from __future__ import annotations

from typing import Any

import pulumi


def test_resources_are_created_with_their_outputs_and_dependencies(world: Any, kit: Any) -> None:
    def program() -> None:
        first = kit.thing("first", color="red")
        second = kit.thing("second", color=first.arn)
        pulumi.export("arn", second.arn)
        pulumi.export("color", second.color)

    result = world.up(program)

    assert result.error is None
    assert kit.ops(result) == [("create", "first"), ("create", "second")]
    first, second = world.entry("first"), world.entry("second")
    assert second.inputs["color"] == f"arn:{first.id}"
    assert second.dependencies == (first.urn,)
    assert second.property_dependencies == {"color": (first.urn,)}
    assert result.outputs == {"arn": f"arn:{second.id}", "color": f"arn:{first.id}"}
    assert first.urn == "urn:pulumi:dev::proj::aws:test/thing:Thing::first"
    assert world.state.pending == ()


def test_a_second_up_changes_nothing_and_writes_nothing(world: Any, kit: Any) -> None:
    def program() -> None:
        first = kit.thing("first", color="red", size=3, tags={"a": "b"}, list=[1, 2.5, None, True])
        kit.thing("second", color=pulumi.Output.secret("hidden"), arn2=first.arn)
        kit.box("box", color="blue")
        pulumi.export("arn", first.arn)

    world.made(program)
    before = world.state

    result = world.up(program).raise_error()

    assert kit.changes(result) == []
    assert world.cloud.mutations() == []
    assert world.recorder.records == []
    assert world.state == before
