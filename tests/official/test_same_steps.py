"""One project on both engines: the same steps in the same order, the same outputs, the same counts (I19)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from shell import Shell

pytestmark = pytest.mark.official_engine

SMALL = """
import pulumi
import pulumi_aws as aws
topic = aws.sns.Topic("topic", name="digits-alarms", tags={"owner": "me"})
group = aws.cloudwatch.LogGroup("logs", retention_in_days=14, tags={"topic": topic.arn})
secret = aws.sns.Topic("secret", display_name=pulumi.Output.secret("hunter2hunter2"))
pulumi.export("arn", topic.arn)
pulumi.export("name", group.name)
"""


def git(shell: Shell, *words: str) -> str:
    identity = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    done = subprocess.run(
        ["git", *words], cwd=shell.folder, env=shell.environment | identity | dates, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


def commit(*shells: Shell) -> None:
    """The same commit in the repository of each project."""
    for shell in shells:
        git(shell, "init")
        git(shell, "commit", "--allow-empty", "-m", "one")


def head(shell: Shell) -> str:
    return git(shell, "rev-parse", "HEAD")


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What a user reads of a verb's answer, whichever engine gave it."""
    return {key: value for key, value in answer.items() if key not in ("engine", "duration_s")}


def test_a_project_lives_the_same_life_on_both_engines(make: Callable[..., Shell]) -> None:
    embedded, official = make("embedded"), make("official")

    def both(*words: str) -> dict[str, Any]:
        theirs = official.json(*words, "--stack", "local", "--engine", "official")
        assert theirs["engine"] == "official"
        assert told(theirs) == told(embedded.json(*words, "--stack", "local"))
        return theirs

    commit(embedded, official)
    assert both("preview")["summary"]["create"] >= 15
    both("up", "--yes")
    first = head(official)
    commit(embedded, official)
    assert head(official) != first
    state = official.json("state", "export", "--stack", "local", "--engine", "official")["state"]
    assert first in json.dumps(state), "what was made carries the commit, and a later one alone is no change"
    both("up", "--yes", "--expect-no-changes")
    both("refresh", "--yes", "--expect-no-changes")
    for shell in (embedded, official):
        file = shell.folder / "Pulumi.local.yaml"
        file.write_text(
            file.read_text().replace(
                "config:\n", "config:\n  cloudmodel:instance: ml.c7i.xlarge\n  cloudmodel:alarms: {p99_ms: 500}\n"
            )
        )
    changed = both("up", "--yes")["summary"]
    assert changed["update"] and changed["create"] and changed["delete"]
    both("destroy", "--yes")


def test_a_state_moves_to_the_other_engine_and_back(make: Callable[..., Shell]) -> None:
    shell = make("moving", SMALL)
    official = ("--engine", "official")

    def moved(source: tuple[str, ...], target: tuple[str, ...]) -> None:
        shell.json("state", "export", "--file", "state.json", *source)
        assert b"hunter2" not in (shell.folder / "state.json").read_bytes()
        shell.json("state", "import", "--yes", "--file", "state.json", *target)
        shell.json("state", "verify", *target)
        assert shell.json("preview", "--expect-no-changes", *target)["warnings"] == []

    made = shell.json("up", "--yes")
    moved((), official)
    assert shell.json("outputs", *official)["outputs"] == made["outputs"]
    program = shell.folder / "__main__.py"
    program.write_text(SMALL.replace("14", "30").replace('"digits-alarms"', '"digits-others"'))
    planned = shell.json("preview", *official)
    assert planned["summary"] | {"replace": 1, "update": 1} == planned["summary"]
    assert told(planned)["steps"] == told(shell.json("preview"))["steps"]
    shell.json("up", "--yes", *official)
    moved(official, ())
    program.write_text(SMALL)
    back = shell.json("preview")
    assert back["summary"]["replace"] == 1
    assert told(back)["steps"] == told(shell.json("preview", *official))["steps"]


def test_what_changed_behind_its_back_is_seen_by_a_refresh_only(make: Callable[..., Shell]) -> None:
    import boto3

    shell = make("drift", SMALL)
    shell.json("up", "--yes", "--engine", "official")
    cloud = shell.json("local", "status")
    logs = boto3.client(
        "logs", endpoint_url=cloud["endpoint_url"], region_name=cloud["region"],
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip
    name = shell.json("outputs", "--engine", "official")["outputs"]["name"]
    logs.put_retention_policy(logGroupName=name, retentionInDays=60)
    shell.json("preview", "--engine", "official", "--expect-no-changes")
    found = shell.json("refresh", "--yes", "--engine", "official")
    assert [(step["op"], step["name"]) for step in found["steps"] if step["op"] != "same"] == [("refresh", "logs")]
    assert shell.json("up", "--yes", "--engine", "official")["summary"]["update"] == 1
    logs.delete_log_group(logGroupName=name)
    gone = shell.json("refresh", "--yes", "--engine", "official")
    assert [(step["op"], step["name"]) for step in gone["steps"] if step["op"] != "same"] == [("delete", "logs")]


def test_a_sealed_plan_is_applied_exactly_or_refused(make: Callable[..., Shell]) -> None:
    shell = make("sealed", SMALL)
    official = ("--engine", "official")
    preview = shell.json("preview", "--save-plan", "plan.json", *official)
    assert shell.json("history", *official)["updates"] == []
    (shell.folder / "Pulumi.other.yaml").write_bytes((shell.folder / "Pulumi.local.yaml").read_bytes())
    foreign = shell.json("up", "--yes", "--stack", "other", "--plan", "plan.json", *official, code=17)
    assert "stack" in foreign["message"]
    done = shell.json("up", "--yes", "--plan", "plan.json", *official)
    assert [(step["op"], step["urn"]) for step in done["steps"]] == [
        (step["op"], step["urn"]) for step in preview["steps"]
    ]
    refused = shell.json("up", "--yes", "--plan", "plan.json", *official, code=17)
    assert "state" in refused["message"]
