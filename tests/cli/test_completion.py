"""What a shell is told when somebody presses tab, in click's own protocol, and that shells take the script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "cloudmodel"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "cloudmodel.yaml").write_text("version: 1\n")
    for name in ("local", "prod-eu", "prod-us"):
        (folder / f"Pulumi.{name}.yaml").write_text("config: {}\n")
    (folder / "below").mkdir()
    return folder


def completed(folder: Path, line: str) -> list[str]:
    """What is offered in place of the last word of `line`, which may be empty."""
    words = line.split(" ")
    variables = {"_CLOUDMODEL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([COMMAND], cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [each.partition(",")[2] for each in done.stdout.splitlines() if each]


@pytest.mark.parametrize(
    ("below", "line", "offered"),
    [
        (".", "cloudmodel ro", ["rollback"]),
        (".", "cloudmodel state re", ["rebuild"]),
        (".", "cloudmodel up --expect", ["--expect-no-changes"]),
        (".", "cloudmodel up --engine o", ["official"]),
        (".", "cloudmodel up --stack ", ["local", "prod-eu", "prod-us"]),
        ("below", "cloudmodel drift -s prod", ["prod-eu", "prod-us"]),
        (".", "cloudmodel stack rm l", ["local"]),
        ("..", "cloudmodel -C {} status --stack p", ["prod-eu", "prod-us"]),
        ("..", "cloudmodel status --stack p", []),
    ],
)
def test_verbs_flags_and_stacks_are_completed(shop: Path, below: str, line: str, offered: list[str]) -> None:
    assert completed(shop / below, line.format(shop.name)) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    done = subprocess.run([COMMAND, "completion", shell], capture_output=True, text=True, check=True)
    assert f"{shell}_complete" in done.stdout
    assert "next: " in done.stderr
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)
