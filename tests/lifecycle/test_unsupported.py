"""What the embedded engine does not do is refused by name, exit 2, with the way out."""

from __future__ import annotations

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
