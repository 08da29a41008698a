"""I13, I8: replacement in both orders, with the dependents that it forces along."""

from __future__ import annotations

import threading
from typing import Any

import pulumi
import pytest

from cloudmodel.engine.deployment import Deployment


def chain(kit: Any, **props: Any) -> None:
    first = kit.thing("a", **props)
    second = kit.thing("b", zone=first.arn)
    kit.thing("c", color=second.arn)


def test_created_before_deleted_by_default(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", kind="x"))
    old = world.entry("a").id

    result = world.up(lambda: kit.thing("a", kind="y")).raise_error()

    assert kit.ops(result) == [("create-replacement", "a"), ("replace", "a"), ("delete-replaced", "a")]
    assert next(step for step in result.steps if step.name == "a").replace_reasons == ("kind",)
    assert [call.verb for call in world.cloud.mutations()] == ["create", "delete"]
    assert world.cloud.mutations()[1].arguments["id"] == old
    assert world.cloud.names() == [world.entry("a").id]
    assert world.entry("a").id != old


@pytest.mark.parametrize(
    ("first", "second", "option"),
    [({"zone": "x"}, {"zone": "y"}, None), ({"kind": "x", "name": "n"}, {"kind": "y", "name": "n"}, True)],
    ids=["the provider says so", "the program says so"],
)
def test_deleted_first_where_someone_says_so(world: Any, kit: Any, first: Any, second: Any, option: Any) -> None:
    opts = pulumi.ResourceOptions(delete_before_replace=option)
    world.made(lambda: kit.thing("a", opts, **first))

    result = world.up(lambda: kit.thing("a", opts, **second)).raise_error()

    assert kit.ops(result) == [("delete-replaced", "a"), ("create-replacement", "a"), ("replace", "a")]
    assert [call.verb for call in world.cloud.mutations()] == ["delete", "create"]
    assert not world.entry("a").pending_replacement


def test_dependents_that_must_follow_are_deleted_first_and_recreated(world: Any, kit: Any) -> None:
    world.made(lambda: chain(kit, zone="x"))

    result = world.up(lambda: chain(kit, zone="y")).raise_error()

    assert kit.ops(result) == [
        ("delete-replaced", "b"),
        ("delete-replaced", "a"),
        ("create-replacement", "a"),
        ("replace", "a"),
        ("create-replacement", "b"),
        ("replace", "b"),
        ("update", "c"),
    ]
    done = [(call.verb, call.name) for call in world.cloud.mutations()]
    assert done == [("delete", "b"), ("delete", "a"), ("create", "a"), ("create", "b"), ("update", "c")]


def test_preview_of_a_cascade_says_the_same_and_does_nothing(world: Any, kit: Any) -> None:
    world.made(lambda: chain(kit, zone="x"))

    planned = world.preview(lambda: chain(kit, zone="y")).raise_error()

    assert world.cloud.mutations() == []
    assert kit.ops(planned) == kit.ops(world.up(lambda: chain(kit, zone="y")).raise_error())


def test_replace_on_changes_turns_an_update_into_a_replacement(world: Any, kit: Any) -> None:
    opts = pulumi.ResourceOptions(replace_on_changes=["color"])
    world.made(lambda: kit.thing("a", opts, color="red"))

    result = world.up(lambda: kit.thing("a", opts, color="blue")).raise_error()

    assert ("replace", "a") in kit.ops(result)


def test_the_user_may_ask_for_a_replacement(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", color="red"))
    old = world.entry("a")

    result = world.up(lambda: kit.thing("a", color="red"), replace=[old.urn]).raise_error()

    assert ("replace", "a") in kit.ops(result)
    assert world.entry("a").id != old.id


def test_asking_to_replace_what_does_not_exist_is_an_error(world: Any, kit: Any) -> None:
    result = world.up(lambda: kit.thing("a"), replace=["urn:pulumi:dev::proj::aws:test/thing:Thing::zzz"])

    assert result.error is not None
    assert result.error.code == 2
    assert world.cloud.mutations() == []


def test_a_failed_creation_after_a_deletion_is_made_good_by_the_next_run(world: Any, kit: Any) -> None:
    world.made(lambda: chain(kit, zone="x"))
    world.cloud.failures["create", "a"] = kit.cloud.ResourceFailure("no room")

    failed = world.up(lambda: chain(kit, zone="y"))

    assert failed.error is not None
    assert failed.error.code == 4
    assert world.entry("a").pending_replacement
    assert world.entry("b").pending_replacement
    world.cloud.failures.clear()
    result = world.up(lambda: chain(kit, zone="y")).raise_error()
    assert [name for op, name in kit.ops(result) if op == "replace"] == ["a", "b"]
    assert len(world.cloud.names()) == 3


def test_a_replacement_that_is_no_longer_wanted_is_forgotten(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", zone="x"))
    world.cloud.failures["create", "a"] = kit.cloud.ResourceFailure("no room")
    world.up(lambda: kit.thing("a", zone="y"))
    world.cloud.forget_calls()

    result = world.up(lambda: None).raise_error()

    assert kit.changes(result) == [("discard", "a")]
    assert world.cloud.mutations() == []
    assert world.names() == []


def test_the_old_half_whose_deletion_failed_is_deleted_later(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", kind="x"))
    world.cloud.failures["delete", "a"] = kit.cloud.ResourceFailure("in use")

    assert world.up(lambda: kit.thing("a", kind="y")).error is not None
    assert [entry.delete for entry in world.state.resources if entry.name == "a"].count(True) == 1
    world.cloud.failures.clear()
    result = world.up(lambda: kit.thing("a", kind="y")).raise_error()

    assert kit.ops(result) == [("same", "a"), ("delete-replaced", "a")]
    assert len(world.cloud.names()) == 1


def test_a_former_dependent_that_registers_while_it_is_deleted_waits_for_it(
    world: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion of `user` is held up until its registration has come; it must not act on what is being deleted."""

    def former() -> None:
        root = kit.thing("root", zone="x")
        kit.thing("user", zone=root.arn)

    def latter() -> None:
        gate = kit.thing("gate")
        kit.thing("root", zone="y")
        kit.thing("user", zone="own", color=gate.arn)

    deleting, registered, acted = threading.Event(), threading.Event(), threading.Event()
    reserve = Deployment._reserve

    def reserving(deployment: Deployment, parent: str, type: str, name: str) -> str:
        if name == "user":
            registered.set()
        return reserve(deployment, parent, type, name)

    def before(call: Any) -> None:
        if call.name == "gate":
            assert deleting.wait(timeout=20)
        elif (call.verb, call.name) == ("delete", "user") and not deleting.is_set():
            deleting.set()
            assert registered.wait(timeout=20)
            acted.wait(timeout=0.2)  # only a fault would set it
        elif call.name == "user":
            acted.set()

    world.made(former)
    monkeypatch.setattr(Deployment, "_reserve", reserving)
    world.cloud.before = before
    world.up(latter).raise_error()

    assert world.names() == world.names_in_cloud() == ["gate", "root", "user"]
    assert [call.verb for call in world.cloud.mutations() if call.name == "user"] == ["delete", "create"]
    assert kit.changes(world.up(latter).raise_error()) == []
