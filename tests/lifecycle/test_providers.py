"""I5, I19: default and explicit providers are entries of the state, each with an instance of its own."""

from __future__ import annotations

from typing import Any

import pulumi


def test_the_default_provider_is_recorded_as_pulumi_does(world: Any, kit: Any) -> None:
    world.config = {"aws:region": "eu-west-1", "proj:other": "x"}
    result = world.up(lambda: kit.thing("a", pulumi.ResourceOptions(version="7.51.1"))).raise_error()

    default = world.entry("default_7_51_1")
    assert default.urn == "urn:pulumi:dev::proj::pulumi:providers:aws::default_7_51_1"
    assert default.inputs == {"region": "eu-west-1", "version": "7.51.1", "__internal": {}}
    assert default.outputs == {"region": "eu-west-1", "version": "7.51.1"}
    assert (default.parent, default.custom) == ("", True)
    assert world.entry("a").provider == f"{default.urn}::{default.id}"
    assert kit.ops(result) == [("create", "a")]
    assert world.cloud.configured == [{"region": "eu-west-1"}]


def test_explicit_providers_are_instances_with_their_own_configuration(world: Any, kit: Any) -> None:
    def program() -> None:
        for account in ("one", "two"):
            provider = kit.aws(account, account=account)
            kit.thing(f"in-{account}", pulumi.ResourceOptions(provider=provider), name="same")
        box = kit.box("box", pulumi.ResourceOptions(providers=[provider]))
        pulumi.export("arn", box.thing.arn)

    world.up(program).raise_error()

    accounts = {(account, id) for account, _, id in world.cloud.things}
    assert {("one", "same"), ("two", "same")} <= accounts
    assert world.entry("box-thing").provider.startswith(world.entry("two").urn)
    assert world.entry("one").parent == world.entry("proj-dev").urn
    world.cloud.forget_calls()
    assert kit.changes(world.up(program).raise_error()) == []
    world.destroy().raise_error()
    assert world.cloud.things == {}


def test_a_changed_configuration_updates_the_provider_alone(world: Any, kit: Any) -> None:
    def program(region: str) -> None:
        kit.thing("a", pulumi.ResourceOptions(provider=kit.aws("p", region=region)))

    world.made(lambda: program("x"))

    assert kit.changes(world.up(lambda: program("y")).raise_error()) == [("update", "p")]


def test_moving_to_another_provider_replaces_through_both(world: Any, kit: Any) -> None:
    def program(account: str) -> None:
        providers = {name: kit.aws(name, account=name) for name in ("one", "two")}
        kit.thing("a", pulumi.ResourceOptions(provider=providers[account]), zone="z", name="n")

    world.made(lambda: program("one"))

    result = world.up(lambda: program("two")).raise_error()

    assert ("replace", "a") in kit.ops(result)
    assert [account for account, _, _ in world.cloud.things] == ["two"]


def test_a_removed_provider_goes_after_its_resources(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", pulumi.ResourceOptions(provider=kit.aws("p", account="one"))))

    result = world.up(lambda: None).raise_error()

    assert kit.changes(result) == [("delete", "a"), ("delete", "p")]
    assert world.cloud.things == {}


def test_a_configuration_that_is_refused_names_the_property(world: Any, kit: Any) -> None:
    result = world.up(lambda: kit.thing("a", pulumi.ResourceOptions(provider=kit.aws("p", region="moon"))))

    assert result.error is not None
    assert "property region value {moon} has a problem: there is no such region" in result.error.message
    assert world.cloud.mutations() == []


def test_a_provider_that_is_not_known_yet_in_a_preview(world: Any, kit: Any) -> None:
    def program() -> None:
        first = kit.thing("a")
        provider = kit.aws("p", account=first.arn)
        second = kit.thing("b", pulumi.ResourceOptions(provider=provider))
        pulumi.export("arn", second.arn)

    planned = world.preview(program).raise_error()

    assert kit.ops(planned) == [("create", "a"), ("create", "p"), ("create", "b")]
    assert kit.ops(world.up(program).raise_error()) == kit.ops(planned)


def test_a_newer_package_takes_over_without_an_update(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", pulumi.ResourceOptions(version="1.0.0")))

    result = world.up(lambda: kit.thing("a", pulumi.ResourceOptions(version="1.1.0"))).raise_error()

    assert kit.changes(result) == []
    assert [entry.name for entry in world.state.resources if "providers" in entry.type] == ["default_1_1_0"]
    assert world.entry("a").provider.startswith(world.entry("default_1_1_0").urn)
