"""The commit stands on what it made, and a later one that changes nothing is no change."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cloud import Cloud
from shell import Shell


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(shell: Shell) -> str:
    git(shell.folder, "add", "--all")
    git(shell.folder, "commit", "--allow-empty", "-m", "one")
    return git(shell.folder, "rev-parse", "HEAD").strip()


def test_each_revision_carries_the_commit_that_first_made_it(digits: Shell) -> None:
    git(digits.folder, "init")
    first = commit(digits)
    digits.json("up", "--stack", "local", "--yes")
    status = digits.json("local", "status")
    sagemaker = Cloud(status["endpoint_url"], status["region"]).client("sagemaker")

    def tags() -> dict[str, str]:
        (found,) = sagemaker.list_endpoint_configs()["EndpointConfigs"]
        told = sagemaker.list_tags(ResourceArn=found["EndpointConfigArn"])["Tags"]
        return {each["Key"]: each["Value"] for each in told}

    assert tags()["commit"] == first
    second = commit(digits)
    assert second != first
    digits.json("up", "--stack", "local", "--yes", "--expect-no-changes")
    assert tags()["commit"] == first

    settings = digits.folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + "  cloudmodel:instance: ml.c7i.xlarge\n")
    third = commit(digits)
    made = digits.json("up", "--stack", "local", "--yes")
    assert tags() | {"commit": third, "revision": made["outputs"]["revision"]} == tags()
    updates = digits.json("history", "--stack", "local")["updates"]
    assert [each["environment"]["git.commit"] for each in updates] == [third, second, first]
