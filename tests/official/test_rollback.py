"""Going back on the official engine: the state of its own backend tells to what, and is what stands afterwards."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from cloud import Cloud, order_faults
from cloudmodel.engine.holder import me
from cloudmodel.engine.lock import StackLock
from cloudmodel.localaws.server import status
from shell import Shell, lines_until

pytestmark = pytest.mark.official_engine

DEAD = replace(me(7, "up"), host="runner-41", owner="ci", time="2026-01-05T01:00:00+00:00", beats=False)
"""A job of another machine and of an earlier version, which no credentials outlast."""
CHANGES = ("CreateLogGroup", "PutRetentionPolicy", "DeleteLogGroup", "TagResource", "UntagResource")
LOGS = """
import pulumi
import pulumi_aws as aws
logs = aws.cloudwatch.LogGroup("logs", name="logs", retention_in_days={days}, tags={{"revision": "{revision}"}})
pulumi.export("revision", "{revision}")
pulumi.export("token", pulumi.Output.secret("hunter2hunter2"))
"""


def cloud_of(shell: Shell) -> Cloud:
    status = shell.json("local", "status")
    return Cloud(status["endpoint_url"], status["region"])


def on_the_official_engine(shell: Shell, **more: str) -> Shell:
    return Shell(
        shell.folder, shell.environment | {"CLOUDMODEL_STACK": "local", "CLOUDMODEL_ENGINE": "official"} | more
    )


def in_a_bucket(plain: Shell) -> tuple[Shell, Any]:
    """The project with its state, its locks and its bundles in the bucket `state` of its local AWS; an S3 client."""
    cloud = Cloud(plain.json("local", "start")["endpoint_url"], "us-east-1")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="state")
    with (plain.folder / "cloudmodel.yaml").open("a") as file:
        file.write("\nbundles: s3://state/bundles\n")
    return on_the_official_engine(
        plain,
        PULUMI_BACKEND_URL=f"s3://state?endpoint={cloud.endpoint_url}&s3ForcePathStyle=true&region=us-east-1",
        AWS_ACCESS_KEY_ID="any",
        AWS_SECRET_ACCESS_KEY="any",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_ENDPOINT_URL_S3=cloud.endpoint_url,
    ), s3


def newest(shell: Shell) -> dict[str, Any]:
    entry: dict[str, Any] = shell.json("history")["updates"][0]
    return entry


def test_a_state_in_a_bucket_goes_back(make: Callable[..., Shell]) -> None:
    shell, s3 = in_a_bucket(make("bucket", LOGS.format(days=14, revision="one")))
    cloud = cloud_of(shell)

    def retention() -> int:
        (group,) = cloud.client("logs").describe_log_groups()["logGroups"]
        return int(group["retentionInDays"])

    shell.json("up", "--yes")
    program = shell.folder / "__main__.py"
    program.write_text(LOGS.format(days=30, revision="two"))
    shell.json("up", "--yes")
    assert retention() == 30
    s3.put_object(Bucket="state", Key=".cloudmodel/locks/digits/local.json", Body=json.dumps(asdict(DEAD)))

    elsewhere = bare(shell)
    refused = elsewhere.run("rollback")
    assert refused.returncode == 2 and b"no terminal" in refused.stderr
    told = elsewhere.json("rollback", "--yes")
    assert told["outputs"] == {"revision": "one", "token": "[secret]"} and retention() == 14
    assert shell.json("drift")["verdict"] == "none"
    assert (newest(shell)["kind"], newest(shell)["result"]) == ("rollback", "succeeded")

    # Its state is lost. The program of what is live, names and tags tell it, and the cloud is only read.
    program.write_text(LOGS.format(days=14, revision="one"))
    for each in contents(s3):
        s3.delete_object(Bucket="state", Key=each["Key"])
    running = status(shell.folder / ".cloudmodel/local")
    assert running is not None
    order_faults(running, *({"service": "logs", "operation": name, "code": "Refused"} for name in CHANGES))
    assert [urn.rpartition("::")[2] for urn in shell.json("state", "rebuild", "--yes")["found"]] == ["logs"]
    order_faults(running)
    assert (newest(shell)["kind"], newest(shell)["message"]) == ("refresh", "rebuild")
    assert shell.json("preview", "--expect-no-changes")["outputs"]["token"] == "[secret]"
    stored = [s3.get_object(Bucket="state", Key=each["Key"])["Body"].read() for each in contents(s3)]
    assert not any(b"hunter2" in each for each in stored)

    # Its passphrase is lost: another seals what is made anew, and what only the old one opens is in nobody's way.
    anew = Shell(shell.folder, shell.environment | {"PULUMI_CONFIG_PASSPHRASE": "a new one, kept in the vault"})
    assert "passphrase" in anew.json("outputs", code=3)["message"]
    anew.json("state", "rebuild", "--yes")
    assert anew.json("outputs", "--show-secrets")["outputs"]["token"] == "hunter2hunter2"
    program.write_text(LOGS.format(days=30, revision="two"))
    anew.json("up", "--yes")
    assert anew.json("rollback", "--yes")["outputs"]["revision"] == "one" and retention() == 14


def bare(shell: Shell) -> Shell:
    """The stack on another machine: its settings, credentials and passphrase, and nothing else. That the local AWS is
    found there stands for a cloud that is found from everywhere."""
    folder = shell.folder.parent / "elsewhere"
    (folder / ".cloudmodel").mkdir(parents=True, mode=0o700)
    for name in ("cloudmodel.yaml", "Pulumi.yaml", "Pulumi.local.yaml"):
        shutil.copy(shell.folder / name, folder / name)
    (folder / ".cloudmodel/local").symlink_to(shell.folder / ".cloudmodel/local")
    passphrase = (shell.folder / ".cloudmodel/passphrase").read_text().strip()
    return Shell(folder, shell.environment | {"PULUMI_CONFIG_PASSPHRASE": passphrase})


TWO = """
import pulumi
import pulumi_aws as aws
topic = aws.sns.Topic("topic", display_name="{name}")
aws.cloudwatch.LogGroup("{name}", name="{name}", retention_in_days=14, opts=pulumi.ResourceOptions(depends_on=[topic]))
pulumi.export("revision", "{name}")
"""


def test_a_rollback_that_is_killed_leaves_nothing_that_the_next_run_does_not_know(make: Callable[..., Shell]) -> None:
    shell = on_the_official_engine(make("killed", TWO.format(name="old")))
    shell.json("up", "--yes")
    (shell.folder / "__main__.py").write_text(TWO.format(name="new"))
    shell.json("up", "--yes")

    process = shell.start("rollback", "--yes", "--json")
    lines_until(process, "old created")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    logs = cloud_of(shell).client("logs")
    assert "old" in [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]]
    state = (shell.folder / ".cloudmodel/official/.pulumi/stacks/digits/local.json").read_text()
    assert "::old" not in state, "killed before Pulumi's state knew of it"

    planned = shell.json("preview")
    assert [step["name"] for step in planned["steps"] if step["op"] == "delete"] == ["old"]
    assert (shell.folder / ".cloudmodel/official/.pulumi/stacks/digits/local.json").read_text() == state
    done = shell.json("up", "--yes")
    assert any("interrupted" in each for each in done["warnings"])
    assert [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]] == ["new"]

    # Killed once more, when Pulumi has just been given the state, which is without what nobody knows the end of.
    running = status(shell.folder / ".cloudmodel/local")
    assert running is not None
    order_faults(running, {"service": "logs", "operation": "CreateLogGroup", "status": 500, "code": "InternalFailure"})
    assert killed_by_the_import(shell).run("rollback", "--yes").returncode == -signal.SIGKILL
    order_faults(running)
    logs.create_log_group(logGroupName="old")  # it did take effect
    record = shell.folder / ".cloudmodel/stacks/local/rollback.json"
    left = record.read_bytes()
    (begun,) = shell.json("state", "verify")["pending"]
    assert begun.startswith("creating ") and begun.endswith("::old")
    assert "interrupted" in shell.json("stack", "rm", "local", "--yes", code=2)["message"]

    # As long as somebody is at it, it is nothing that an interrupted run left.
    other = StackLock(shell.folder / ".cloudmodel/stacks/local", "local")
    other.acquire("rollback")
    (warning,) = shell.json("preview")["warnings"]
    assert "in progress" in warning and "rollback by" in warning
    other.release()

    assert any("interrupted" in each for each in shell.json("up", "--yes")["warnings"])
    assert [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]] == ["new"]
    assert shell.json("up", "--yes", "--expect-no-changes")["warnings"] == []

    # Another state, or none: the record ends with the one that it speaks of.
    exported = shell.json("state", "export")["state"]
    record.write_bytes(left)
    shell.json("state", "import", "--yes", stdin=json.dumps(exported).encode())
    assert not record.exists()
    record.write_bytes(left)
    assert "still has resources" in shell.json("stack", "rm", "local", "--yes", code=2)["message"]
    shell.json("stack", "rm", "local", "--yes", "--force")
    assert not record.exists()


def killed_by_the_import(shell: Shell) -> Shell:
    """A shell whose Pulumi kills the command that runs it as soon as it has imported a state."""
    real = shutil.which("pulumi", path=shell.environment["PATH"])
    folder = shell.folder / "bin"
    folder.mkdir()
    (folder / "pulumi").write_text(
        f'#!/bin/sh\n"{real}" "$@"\ncode=$?\ncase " $* " in *" stack import "*) kill -9 $PPID;; esac\nexit $code\n'
    )
    (folder / "pulumi").chmod(0o755)
    return Shell(shell.folder, shell.environment | {"PATH": f"{folder}:{shell.environment['PATH']}"})


def contents(s3: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = s3.list_objects_v2(Bucket="state")["Contents"]
    return found
