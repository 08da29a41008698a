"""The smoke test on AWS, rehearsed on the local AWS: it wants the account's id, checks, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools/smoke_aws.sh"
ACCOUNT = "123456789012"


def smoke(folder: Path, typed: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
    own = {"BIN": str(Path(sys.executable).parent), "TMPDIR": str(folder), "HOME": str(folder)}
    return subprocess.run(
        [SCRIPT],
        input=typed,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=kept | nobody | own | variables,
    )


@pytest.mark.parametrize(
    ("typed", "variables", "told"),
    [
        ("111122223333\n", {"TARGET": "local"}, "That is not the account. Nothing was made."),
        ("\n", {"TARGET": "local"}, "That is not the account. Nothing was made."),
        ("", {"TARGET": "local"}, "That is not the account. Nothing was made."),
        ("yes\n", {"TARGET": "local"}, "That is not the account. Nothing was made."),
        (ACCOUNT, {"TARGET": "azure"}, "TARGET is aws or local, not azure."),
        (ACCOUNT, {}, "IMAGE is missing"),
        (ACCOUNT, {"IMAGE": "image"}, "no account: Unable to locate credentials"),
    ],
)
def test_it_is_refused_before_anything_is_made(
    tmp_path: Path, typed: str, variables: dict[str, str], told: str
) -> None:
    done = smoke(tmp_path, typed, **variables)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "$ cloudmodel" not in done.stdout
    assert list(tmp_path.glob("tmp.*")) == []


def test_it_deploys_checks_and_deletes(tmp_path: Path) -> None:
    done = smoke(tmp_path, f"{ACCOUNT}\n", TARGET="local")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ml.c7i.large costs about 0.107 USD an hour (us-east-1, " in done.stdout
    assert f"In account {ACCOUNT}, region us-east-1" in done.stdout
    assert "10 of 10 are right" in done.stdout
    commands = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("$ cloudmodel")]
    assert commands == ["preview", "up", "invoke", "up", "refresh", "destroy", "local"]
    assert list(tmp_path.glob("tmp.*")) == []
