"""What goes wrong with the official engine: a readable block, its exit code, and nothing lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmodel.engine.lock import StackLock
from shell import Shell, lines_until

OFFICIAL = ("--engine", "official")
PROGRAM = """
import pulumi
import pulumi_aws as aws
aws.sns.Topic("topic", display_name=pulumi.Output.secret("hunter2hunter2"))
"""


@pytest.mark.official_engine
def test_a_stack_that_another_run_holds(make: Callable[..., Shell]) -> None:
    shell = make("locked", PROGRAM)
    shell.json("up", "--yes", *OFFICIAL)
    holder = StackLock(shell.folder / ".cloudmodel/stacks/local", "local")
    holder.acquire("up")
    answer = shell.json("destroy", "--yes", *OFFICIAL, code=16)
    assert answer["error"] == "StackLocked" and "unlock" in answer["hint"]
    holder.release()

    theirs = shell.folder / ".cloudmodel/official/.pulumi/locks/organization/digits/local"
    theirs.mkdir(parents=True, exist_ok=True)
    owner = {"pid": 4711, "username": "anna", "hostname": "build-7", "timestamp": "2026-01-01T00:00:00Z"}
    (theirs / "0e0f.json").write_text(json.dumps(owner))
    answer = shell.json("up", "--yes", *OFFICIAL, code=16)
    assert "anna@build-7" in answer["message"] and "cancel" in answer["hint"]
    assert "anna" in shell.json("cancel", "--yes", *OFFICIAL)["cancelled"]
    shell.json("up", "--yes", "--expect-no-changes", *OFFICIAL)


@pytest.mark.official_engine
def test_a_resource_that_is_refused_fails_alike_on_both_engines(make: Callable[..., Shell]) -> None:
    bad = PROGRAM + "aws.cloudwatch.LogGroup('logs', retention_in_days=4)\n"
    shell = make("refused", bad)
    answers = [shell.json("up", "--yes", *engine, code=4) for engine in ((), OFFICIAL)]
    assert answers[0]["where"] == answers[1]["where"]
    assert all("retentionInDays" in answer["message"] for answer in answers)


@pytest.mark.official_engine
def test_a_program_that_raises_or_leaves_shows_no_secret(make: Callable[..., Shell]) -> None:
    shell = make("raising", PROGRAM)
    shell.json("up", "--yes", *OFFICIAL)
    for kind in ("ValueError", "SystemExit"):
        (shell.folder / "__main__.py").write_text(f"raise {kind}('hunter2hunter2 is no name')\n")
        done = shell.run("preview", *OFFICIAL)
        assert done.returncode == 1
        assert (
            f"error: the program raised {kind}: [secret] is no name\n  where: {shell.folder}\n" in done.stderr.decode()
        )
        assert b"hunter2" not in done.stdout + done.stderr


@pytest.mark.official_engine
def test_a_run_that_is_stopped_leaves_what_it_began_and_the_next_one_goes_on(make: Callable[..., Shell]) -> None:
    chain = """
import pulumi
import pulumi_aws as aws
last = None
for number in range(80):
    last = aws.cloudwatch.LogGroup(f"logs-{number:02}", opts=pulumi.ResourceOptions(depends_on=[last] if last else []))
"""
    shell = make("stopped", chain)
    process = shell.start("up", "--yes", "--json", *OFFICIAL)
    lines_until(process, "logs-02 created")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 8 and b"everything that it had begun is finished" in out
    state = shell.json("state", "export", *OFFICIAL)["state"]["deployment"]
    assert not state.get("pending_operations")
    made = sum(entry["type"] == "aws:cloudwatch/logGroup:LogGroup" for entry in state["resources"])
    assert 3 <= made < 80
    assert shell.json("up", "--yes", *OFFICIAL)["summary"]["create"] == 80 - made


def test_a_machine_without_the_command_line(make: Callable[..., Shell], tmp_path: Path) -> None:
    shell = make("bare", PROGRAM)
    bare = Shell(shell.folder, shell.environment | {"PATH": str(tmp_path), "HOME": str(tmp_path)})
    answer = bare.json("up", "--yes", *OFFICIAL, code=2)
    assert "cloudmodel engine install" in answer["hint"] and "https://get.pulumi.com" in answer["hint"]


def test_a_command_line_that_is_too_old(make: Callable[..., Shell], tmp_path: Path) -> None:
    shell = make("old", PROGRAM)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pulumi").write_text("#!/bin/sh\necho v3.0.0\n")
    (tmp_path / "bin/pulumi").chmod(0o755)
    old = Shell(shell.folder, shell.environment | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
    answer = old.json("preview", *OFFICIAL, code=2)
    assert "3.0.0" in answer["message"] and "https://get.pulumi.com" in answer["hint"]
