"""I5, I9: components have no id; their children stand under them and go before them."""

from __future__ import annotations

from typing import Any

import pulumi


def test_a_component_is_recorded_with_its_outputs(world: Any, kit: Any) -> None:
    world.up(lambda: kit.box("box")).raise_error()

    box, thing = world.entry("box"), world.entry("box-thing")
    assert not box.custom
    assert (box.id, box.provider, box.inputs) == ("", "", {})
    assert box.outputs == {"arn": f"arn:{thing.id}"}
    assert thing.parent == box.urn
    assert thing.urn == "urn:pulumi:dev::proj::test:index:Box$aws:test/thing:Thing::box-thing"
    assert box.parent == world.entry("proj-dev").urn


def test_a_component_that_goes_takes_its_children(world: Any, kit: Any) -> None:
    world.made(lambda: (kit.box("one"), kit.box("two")))

    result = world.up(lambda: kit.box("one")).raise_error()

    assert kit.changes(result) == [("delete", "two-thing"), ("delete", "two")]
    assert world.cloud.done("delete") == ["two-thing"]


def test_outputs_of_a_component_are_only_written_when_they_change(world: Any, kit: Any) -> None:
    class Labelled(pulumi.ComponentResource):
        def __init__(self, label: str) -> None:
            super().__init__("test:index:Labelled", "l", None, None)
            self.register_outputs({"label": label})

    world.made(lambda: Labelled("x"))
    world.up(lambda: Labelled("x")).raise_error()
    assert world.recorder.records == []
    world.up(lambda: Labelled("y")).raise_error()
    assert world.entry("l").outputs == {"label": "y"}


def test_a_resource_among_the_outputs_is_a_reference(world: Any, kit: Any) -> None:
    class Holder(pulumi.ComponentResource):
        def __init__(self) -> None:
            super().__init__("test:index:Holder", "h", None, None)
            self.register_outputs({"thing": kit.thing("a", pulumi.ResourceOptions(parent=self))})

    world.up(Holder).raise_error()

    reference = world.entry("h").outputs["thing"]
    assert (reference["urn"], reference["id"]) == (world.entry("a").urn, world.entry("a").id)
