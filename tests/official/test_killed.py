"""Pulumi's own process dies in the middle of an update: what is told, and how the next run goes on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import psutil
import pytest

from chains import chain
from cloud import Cloud
from shell import Shell, lines_until

pytestmark = pytest.mark.official_engine

OFFICIAL = ("--engine", "official")
COUNT = 20


def kill_the_engine(pid: int) -> None:
    """Kill -9 the `pulumi up` that the process `pid` runs; its plugin ends by itself."""
    running = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # others come and go
            if child.name() == "pulumi" and "up" in child.cmdline():
                running.append(child)
    (engine,) = running
    engine.kill()


def test_the_next_run_names_the_lock_and_goes_on_once_it_is_broken(make: Callable[..., Shell]) -> None:
    shell = make("killed", chain(COUNT))
    process = shell.start("up", "--yes", "--json", *OFFICIAL)
    lines_until(process, "logs-02 created")
    kill_the_engine(process.pid)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    told = json.loads(out)
    assert told["error"] and told["hint"] and "Traceback" not in out.decode()

    # Pulumi's file backend writes a state whole or not at all, but not its attributes: killed there, it reads neither.
    kept = shell.folder / ".cloudmodel/official/.pulumi/stacks/digits"
    assert not list(kept.rglob("*.attrs"))
    (kept / "local.json.attrs").touch()
    torn = shell.json("preview", *OFFICIAL, code=1)
    assert torn["error"] == "StateCorrupt" and "local.json.attrs" in torn["hint"]
    (kept / "local.json.attrs").unlink()

    refused = shell.json("up", "--yes", *OFFICIAL, code=16)
    assert refused["error"] == "StackLocked" and "cancel" in refused["hint"] and "(pid " in refused["message"]
    assert "Pulumi's own lock" in shell.json("cancel", "--yes", *OFFICIAL)["cancelled"]

    deployment = shell.json("state", "export", *OFFICIAL)["state"]["deployment"]
    made = [entry["id"] for entry in deployment["resources"] if "LogGroup" in entry["type"]]
    # Pulumi tells that something was created before it has written so: the last one may be a pending operation.
    assert made == [f"logs-{number:02}" for number in range(len(made))] and 2 <= len(made) < COUNT
    begun = [operation["resource"]["urn"] for operation in deployment.get("pending_operations", [])]
    assert len(begun) <= 1  # a chain: one at a time
    # Whether it took effect is chance. Here it did: the next run looks, and does not try to make it once more.
    status = shell.json("local", "status")
    logs = Cloud(status["endpoint_url"], status["region"]).client("logs")
    standing = {each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]}
    for name in {urn.rsplit("::", 1)[-1] for urn in begun} - standing:
        logs.create_log_group(logGroupName=name)

    shell.json("up", "--yes", *OFFICIAL)
    after = shell.json("state", "export", *OFFICIAL)["state"]["deployment"]
    assert sorted(entry["id"] for entry in after["resources"] if "LogGroup" in entry["type"]) == [
        f"logs-{number:02}" for number in range(COUNT)
    ]
    shell.json("up", "--yes", "--expect-no-changes", *OFFICIAL)
