"""I10, I19: functions go to the provider of their package, in a preview too."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

TOKEN = "aws:test/get:get"


def test_a_function_is_called_on_the_default_provider(world: Any, kit: Any) -> None:
    world.config = {"aws:account": "one"}

    def program() -> None:
        plain = pulumi.runtime.invoke(TOKEN, {"a": 1}).value
        output = pulumi.runtime.invoke_output(TOKEN, {"b": kit.thing("a").arn})
        pulumi.export("account", plain["account"])
        pulumi.export("echo", output.apply(lambda value: value["echo"]["b"]))

    result = world.up(program).raise_error()

    assert result.outputs["account"] == "one"
    assert result.outputs["echo"] == f"arn:{world.entry('a').id}"


def test_a_preview_calls_functions_whose_arguments_are_known(world: Any, kit: Any) -> None:
    def program() -> None:
        pulumi.export("account", pulumi.runtime.invoke(TOKEN, {}).value["account"])
        pulumi.runtime.invoke_output(TOKEN, {"b": kit.thing("a").arn})

    result = world.preview(program).raise_error()

    assert result.outputs["account"] == "default"
    assert world.cloud.count() == {"invoke": 1}


def test_a_function_of_an_explicit_provider(world: Any, kit: Any) -> None:
    def program() -> None:
        provider = kit.aws("p", account="two")
        found = pulumi.runtime.invoke_output(TOKEN, {}, pulumi.InvokeOutputOptions(provider=provider))
        pulumi.export("account", found.apply(lambda value: value["account"]))

    assert world.up(program).raise_error().outputs["account"] == "two"


@pytest.mark.parametrize("caught", [True, False])
def test_a_function_that_fails_is_the_programs_to_handle(world: Any, kit: Any, caught: bool) -> None:
    def program() -> None:
        try:
            pulumi.runtime.invoke(TOKEN, {"fail": "no such thing"})
        except Exception:
            if not caught:
                raise
        kit.thing("a")

    result = world.up(program)

    if caught:
        assert result.error is None or "no such thing" in result.error.message
    else:
        assert result.error is not None
        assert "no such thing" in result.error.message
        assert world.cloud.mutations() == []


def test_secrets_among_the_arguments_stay_secret_in_the_result(world: Any, kit: Any) -> None:
    def program() -> None:
        found = pulumi.runtime.invoke_output(TOKEN, {"b": pulumi.Output.secret("canary-1")})
        kit.thing("a", color=found.apply(lambda value: value["echo"]["b"]))

    world.up(program).raise_error()

    assert world.cloud.done("invoke") == [TOKEN]
    assert world.entry("a").inputs["color"]["value"] == "canary-1"
