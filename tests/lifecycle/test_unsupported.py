"""What the embedded engine does not do is refused by name, exit 2, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest


class Foreign(pulumi.CustomResource):
    def __init__(self) -> None:
        super().__init__("gcp:storage/bucket:Bucket", "b", {})


class Remote(pulumi.ComponentResource):
    def __init__(self) -> None:
        super().__init__("aws:x:Remote", "r", {}, None, remote=True)


def dynamic() -> None:
    class Own(pulumi.dynamic.ResourceProvider):
        pass

    class Mine(pulumi.dynamic.Resource):
        pass

    Mine(Own(), "d", {})


def transform() -> None:
    pulumi.runtime.register_resource_transform(lambda args: None)


def hook() -> None:
    pulumi.ResourceHook("h", lambda args: None)


def with_option(option: str) -> Callable[[], object]:
    """A program whose second resource has `option`."""

    def program() -> None:
        first = pulumi.CustomResource("aws:test/thing:Thing", "first", {})
        values: dict[str, Any] = {"replace_with": [first], "replacement_trigger": "v2", "hide_diffs": ["color"]}
        opts = pulumi.ResourceOptions(depends_on=[first])
        setattr(opts, option, values[option])
        pulumi.CustomResource("aws:test/thing:Thing", "a", {"color": "red"}, opts)

    return program


@pytest.mark.parametrize("option", ["replace_with", "replacement_trigger", "hide_diffs"])
def test_an_option_that_would_be_passed_over_is_refused(world: Any, kit: Any, option: str) -> None:
    for result in (world.preview(with_option(option)), world.up(with_option(option))):
        assert type(result.error).__name__ == "Unsupported"
        assert f"the option {option} (aws:test/thing:Thing 'a')" in str(result.error)
    assert world.cloud.done("create") == ["first"]


def test_environment_variables_of_a_provider_are_refused(world: Any, kit: Any) -> None:
    opts = pulumi.ResourceOptions(env_var_mappings={"MINE": "AWS_PROFILE"})

    result = world.preview(lambda: kit.aws("east", opts))

    assert "the option env_var_mappings" in str(result.error)


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (lambda: pulumi.StackReference("organization/other/dev"), "pulumi:pulumi:StackReference"),
        (dynamic, "pulumi-python:dynamic"),
        (Foreign, "gcp"),
        (Remote, "remote components"),
        (transform, "transforms"),
        (hook, "resource hooks"),
        (lambda: pulumi.runtime.invoke("gcp:x:y", {}), "gcp"),
    ],
    ids=["stack reference", "dynamic", "foreign package", "remote component", "transform", "hook", "function"],
)
def test_it_is_named_with_the_way_out(world: Any, kit: Any, program: Any, named: str) -> None:
    for result in (world.preview(program), world.up(program)):
        assert type(result.error).__name__ == "Unsupported"
        assert result.error is not None
        assert result.error.code == 2
        assert named in result.error.message + str(result.error.where)
        assert "--engine official" in str(result.error.hint)
    assert world.cloud.mutations() == []
