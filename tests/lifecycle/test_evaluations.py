"""Trap 2: a second evaluation in one process registers everything again, and knows nothing of the first."""

from __future__ import annotations

import asyncio
import importlib
import runpy
import sys
import threading
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cloudmodel.engine.evaluate import forget_modules

MODULE = """
import pulumi

class Thing(pulumi.CustomResource):
    def __init__(self, name, **props):
        super().__init__("aws:test/thing:Thing", name, {"arn": None, **props})

made_on_import = Thing("imported", color="red")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "own_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "things.py").write_text(MODULE)
    (tmp_path / "__main__.py").write_text("import own_parts.things as things\nthings.Thing('direct')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_resources_made_at_import_are_registered_every_time(world: Any, kit: Any, project: Path) -> None:
    world.folder = project
    program = lambda: runpy.run_path(str(project / "__main__.py"))  # noqa: E731

    for _ in range(2):
        assert ("create", "imported") in kit.ops(world.preview(program).raise_error())
    world.up(program).raise_error()
    assert world.names() == ["direct", "imported"]
    assert kit.changes(world.up(program).raise_error()) == []
    assert world.names() == ["direct", "imported"]


def test_modules_outside_the_project_stay(world: Any, kit: Any, project: Path) -> None:
    world.folder = project
    before = sys.modules["pulumi"], sys.modules["cloudmodel.core.errors"]

    world.preview(lambda: runpy.run_path(str(project / "__main__.py"))).raise_error()

    assert before == (sys.modules["pulumi"], sys.modules["cloudmodel.core.errors"])


@pytest.mark.parametrize("place", ["project", "site-packages/project", "link"])
def test_own_modules_are_forgotten_wherever_the_project_lies_and_installed_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    written = tmp_path / place
    folder = tmp_path / "real" if place == "link" else written
    installed = folder / "venv" / "lib" / "site-packages"
    installed.mkdir(parents=True)
    if place == "link":
        written.symlink_to(folder)
    (folder / "own_forgotten.py").write_text("")
    (installed / "brought_along.py").write_text("")
    monkeypatch.syspath_prepend(str(written))
    monkeypatch.syspath_prepend(str(written / "venv" / "lib" / "site-packages"))
    for name in ("own_forgotten", "brought_along"):
        importlib.import_module(name)

    forget_modules(folder)

    try:
        assert "own_forgotten" not in sys.modules
        assert "brought_along" in sys.modules
    finally:
        sys.modules.pop("brought_along", None)


def test_many_runs_in_one_process_do_not_mix(world: Any, kit: Any) -> None:
    for index in range(12):
        result = world.up(lambda index=index: kit.thing("a", color=f"c{index}")).raise_error()
        assert len(kit.changes(result)) == 1


def test_stacks_side_by_side_in_threads(kit: Any) -> None:
    worlds = [kit.world("stub") for _ in range(3)]
    together = threading.Barrier(3)
    errors: list[Any] = []

    def run(index: int) -> None:
        def program() -> None:
            together.wait(timeout=20)
            for number in range(index + 1):
                kit.thing(f"w{index}-{number}")

        errors.append(worlds[index].up(program).error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == [None] * 3
    for index, one in enumerate(worlds):
        assert one.names() == [f"w{index}-{number}" for number in range(index + 1)]


def test_a_caller_with_a_running_loop(world: Any, kit: Any) -> None:
    async def caller() -> Any:
        return world.up(lambda: kit.thing("a"))

    assert asyncio.run(caller()).error is None


def test_async_programs(world: Any, kit: Any) -> None:
    async def program() -> None:
        await asyncio.sleep(0)
        pulumi.export("arn", kit.thing("a").arn)

    assert world.up(program).raise_error().outputs["arn"].startswith("arn:a")
