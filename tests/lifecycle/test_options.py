"""Timeouts reach the provider in seconds; assets are compared by their content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pulumi


def test_timeouts_are_seconds_by_verb(world: Any, kit: Any) -> None:
    opts = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="1h30m", delete="90s"))
    world.made(lambda: kit.thing("a", opts))

    assert world.entry("a").custom_timeouts == {"create": 5400.0, "delete": 90.0}
    world.destroy().raise_error()
    assert world.cloud.calls[0].arguments["timeout"] == 90.0


def test_an_asset_changes_with_its_content_only(world: Any, kit: Any, tmp_path: Path) -> None:
    world.folder = tmp_path
    file = tmp_path / "data.bin"
    file.write_bytes(b"one")
    program = lambda: kit.thing("a", source=pulumi.FileAsset("data.bin"))  # noqa: E731
    world.made(program)
    source = world.entry("a").inputs["source"]
    assert source["path"] == "data.bin"
    assert source["hash"] == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

    os.utime(file, (1, 1))
    assert kit.changes(world.up(program).raise_error()) == []
    file.write_bytes(b"two")
    result = world.up(program).raise_error()
    assert kit.changes(result) == [("update", "a")]
    change = next(step for step in result.steps if step.name == "a").diff["source"]
    assert change.old == "asset(file:7692c3a)"


def test_texts_and_archives_have_hashes(world: Any, kit: Any, tmp_path: Path) -> None:
    world.folder = tmp_path
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "x").write_text("x")

    def program() -> None:
        kit.thing("a", source=pulumi.StringAsset("hello"))
        kit.thing("b", source=pulumi.FileArchive("tree"))
        kit.thing("c", source=pulumi.AssetArchive({"y": pulumi.StringAsset("y")}))

    world.made(program)
    assert kit.changes(world.up(program).raise_error()) == []
    (tmp_path / "tree" / "x").write_text("changed")
    assert kit.changes(world.up(program).raise_error()) == [("update", "b")]
