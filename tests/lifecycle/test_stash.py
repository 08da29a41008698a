"""`pulumi.Stash` stands in the state only; one that is replaced first takes down what is made of its value, and that
is made again after what lies between."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest


def stash(value: Any, opts: pulumi.ResourceOptions | None = None) -> pulumi.Stash:
    made = pulumi.Stash("stash", opts, input=value)
    pulumi.export("output", made.output)
    pulumi.export("input", made.input)
    return made


@pytest.mark.parametrize("value", ["text", 3, True, {"a": ["b", 1]}, ["x"]], ids=repr)
def test_it_keeps_the_value_that_it_was_made_with(world: Any, kit: Any, value: Any) -> None:
    assert world.made(lambda: stash(value)).outputs == {"output": value, "input": value}
    assert kit.changes(world.up(lambda: stash(value)).raise_error()) == []

    changed = world.up(lambda: stash("another")).raise_error()

    assert kit.ops(changed) == [("update", "stash")]
    assert changed.outputs == {"output": value, "input": "another"}
    assert kit.changes(world.refresh().raise_error()) == []
    assert world.cloud.mutations() == []
    assert world.destroy().raise_error().state.resources == ()


def test_what_it_does_not_take_is_refused(world: Any) -> None:
    class Other(pulumi.CustomResource):
        def __init__(self) -> None:
            super().__init__("pulumi:index:Stash", "stash", {"value": 1})

    error = world.up(Other).error

    assert error is not None
    assert 'unknown property "value"' in str(error)
    assert 'missing required property "input"' in str(error)


def gated(kit: Any, fleet: str, *, user: bool = True) -> None:
    """What uses the machine stands only while the machine does not change."""
    options = pulumi.ResourceOptions(replace_on_changes=["input"], delete_before_replace=True)
    gate = stash(fleet, options)
    machine = kit.thing("machine", pulumi.ResourceOptions(depends_on=[gate]), color=fleet)
    if user:
        name = pulumi.Output.all(machine.arn, gate.output).apply(lambda parts: parts[0])
        scaler = kit.thing("scaler", zone=name)
        kit.thing("policy", zone=scaler.arn)


AROUND = [
    ("delete", "policy"),
    ("delete", "scaler"),
    ("update", "machine"),
    ("create", "scaler"),
    ("create", "policy"),
]


def done(world: Any) -> list[tuple[str, str]]:
    return [(call.verb, call.name) for call in world.cloud.mutations()]


def test_what_is_made_of_its_value_is_gone_while_the_rest_changes(world: Any, kit: Any) -> None:
    world.made(lambda: gated(kit, "small"))
    planned = world.preview(lambda: gated(kit, "large")).raise_error()

    result = world.up(lambda: gated(kit, "large")).raise_error()

    assert done(world) == AROUND
    reasons = {step.name: step.replace_reasons for step in result.steps if step.op.value == "create-replacement"}
    assert reasons == {"stash": ("input",), "scaler": ("zone",), "policy": ("zone",)}
    assert kit.ops(planned) == kit.ops(result)
    assert kit.changes(world.up(lambda: gated(kit, "large")).raise_error()) == []


def test_a_change_that_fails_in_the_middle_is_made_good_by_the_next_run(world: Any, kit: Any) -> None:
    world.made(lambda: gated(kit, "small"))
    world.cloud.failures["update", "machine"] = kit.cloud.ResourceFailure("no room")
    assert world.up(lambda: gated(kit, "large")).error is not None
    assert done(world) == AROUND[:3]
    assert not kit.sound(world.state)
    world.cloud.failures.clear()
    world.cloud.forget_calls()

    world.up(lambda: gated(kit, "large")).raise_error()

    assert done(world) == AROUND[2:]


def test_so_is_one_that_is_taken_back(world: Any, kit: Any) -> None:
    world.made(lambda: gated(kit, "small"))
    world.cloud.failures["update", "machine"] = kit.cloud.ResourceFailure("no room")
    world.up(lambda: gated(kit, "large"))
    world.cloud.failures.clear()
    world.cloud.forget_calls()

    world.up(lambda: gated(kit, "small")).raise_error()

    assert done(world)[-2:] == AROUND[3:]
    assert world.names_in_cloud() == ["machine", "policy", "scaler"]


def test_what_is_no_longer_wanted_is_gone_before_the_rest_changes(world: Any, kit: Any) -> None:
    world.made(lambda: gated(kit, "small"))

    world.up(lambda: gated(kit, "large", user=False)).raise_error()

    assert done(world) == AROUND[:3]
    assert world.names() == ["machine", "stash"]
