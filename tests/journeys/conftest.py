"""Whole commands, as a user types them: a real process each, a real local AWS, real predictions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, without any AWS or Pulumi setting of the machine; ends what it left running."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    yield (user := Shell(tmp_path, kept))
    for project in [tmp_path, *tmp_path.iterdir()]:
        if (project / ".cloudmodel/local").is_dir():
            user.run("-C", str(project), "local", "stop")


@pytest.fixture
def digits(shell: Shell) -> Shell:
    """A shell inside a fresh digits project whose model is packaged."""
    assert shell.run("init", "digits", "--template", "digits").returncode == 0
    inside = Shell(shell.folder / "digits", shell.environment)
    done = inside.run("package")
    assert done.returncode == 0, done.stderr.decode()
    return inside
