"""Projects on the official engine: whole commands, a local AWS of their own each, Pulumi's own command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell import Shell

Make = Callable[..., Shell]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a digits project in a folder of its own; `program` takes the place of its own, which needs the bundle."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    made: list[Shell] = []

    def project(place: str, program: str | None = None) -> Shell:
        (tmp_path / place).mkdir()
        outside = Shell(tmp_path / place, kept)
        assert outside.run("init", "digits", "--template", "digits").returncode == 0
        made.append(Shell(tmp_path / place / "digits", dict(kept)))
        if program is None:
            assert made[-1].run("package").returncode == 0
        else:
            (made[-1].folder / "__main__.py").write_text(program)
        return made[-1]

    yield project
    for shell in made:
        if (shell.folder / ".cloudmodel/local").is_dir():
            shell.run("local", "stop")
