"""I9: an ignored property keeps its old value, before the provider checks it."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest


@pytest.mark.parametrize(
    ("ignored", "old", "new", "expected"),
    [
        (["color"], {"color": "red", "size": 1}, {"color": "blue", "size": 1}, {"color": "red", "size": 1}),
        (["color"], {"color": "red"}, {"color": "blue", "size": 2}, {"color": "red", "size": 2}),
        (["color"], {"color": "red"}, {}, {"color": "red"}),
        (["color"], {}, {"color": "blue"}, {}),
        (["tags.owner"], {"tags": {"owner": "x"}}, {"tags": {"owner": "y", "b": 1}}, {"tags": {"owner": "x", "b": 1}}),
        (["rules[0].id"], {"rules": [{"id": 1}]}, {"rules": [{"id": 2}]}, {"rules": [{"id": 1}]}),
        (["rules[*].id"], {"rules": [{"id": 1}]}, {"rules": [{"id": 2}, {"id": 3}]}, {"rules": [{"id": 1}, {"id": 3}]}),
        (["*"], {"color": "red"}, {"color": "blue", "size": 2}, {"color": "red"}),
    ],
)
def test_the_old_value_stands(world: Any, kit: Any, ignored: Any, old: Any, new: Any, expected: Any) -> None:
    opts = pulumi.ResourceOptions(ignore_changes=ignored)
    world.made(lambda: kit.thing("a", opts, name="n", **old))

    planned = world.preview(lambda: kit.thing("a", opts, name="n", **new)).raise_error()
    result = world.up(lambda: kit.thing("a", opts, name="n", **new)).raise_error()

    assert kit.ops(planned) == kit.ops(result)
    assert world.entry("a").inputs == {"name": "n", **expected}
    assert (kit.changes(result) == []) == (expected == old)


def test_the_first_creation_takes_what_the_program_says(world: Any, kit: Any) -> None:
    world.up(lambda: kit.thing("a", pulumi.ResourceOptions(ignore_changes=["color"]), color="red")).raise_error()

    assert world.entry("a").inputs["color"] == "red"
