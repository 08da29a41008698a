"""What a user asks of single resources, and a creation that fails half-way, as whole commands on one stack."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloud import Cloud, order_faults
from cloudmodel.localaws.server import status
from shell import Shell

pytestmark = pytest.mark.official_engine

PROGRAM = """
import pulumi
import pulumi_aws as aws
aws.sns.Topic("topic", name="{name}", opts=pulumi.ResourceOptions(delete_before_replace=True))
"""
LOGS = """
aws.cloudwatch.LogGroup("logs", retention_in_days=14, opts=pulumi.ResourceOptions(protect={protect}))
"""
REFUSED = {"service": "logs", "operation": "PutRetentionPolicy", "code": "InvalidParameterException"}


def test_a_stack_whose_resources_are_asked_for_in_every_way(make: Callable[..., Shell]) -> None:
    made = make("asked", PROGRAM.format(name="one") + LOGS.format(protect=False))
    shell = Shell(made.folder, made.environment | {"CLOUDMODEL_STACK": "local", "CLOUDMODEL_ENGINE": "official"})
    shell.json("local", "start")
    running = status(shell.folder / ".cloudmodel/local")
    assert running is not None
    cloud = Cloud(running.endpoint_url, "us-east-1")

    # Made, but not as it was asked for: the state keeps it, the next run finishes it.
    order_faults(running, REFUSED)
    failed = shell.json("up", "--yes", code=4)
    assert "PutRetentionPolicy" in failed["message"]
    order_faults(running)
    (group,) = cloud.client("logs").describe_log_groups()["logGroups"]
    assert "retentionInDays" not in group
    resources = shell.json("state", "export")["state"]["deployment"]["resources"]
    (entry,) = [each for each in resources if each["type"] == "aws:cloudwatch/logGroup:LogGroup"]
    assert entry["id"] == group["logGroupName"] and entry["initErrors"]

    topic = next(each["urn"] for each in resources if each["type"] == "aws:sns/topic:Topic")
    # `--replace` of what is deleted first, and the other one mended, in one run.
    mended = shell.run("up", "--yes", "--replace", topic)
    said = mended.stderr.decode()
    assert mended.returncode == 0, said
    assert said.index("topic deleted original") < said.index("topic created replacement")
    assert "logs updated" in said
    (group,) = cloud.client("logs").describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (entry["id"], 14)

    assert shell.json("preview", "--replace", f"{topic}s", code=2)["where"] == f"{topic}s"

    # Another name replaces, without being asked; the group is protected from now on.
    program = shell.folder / "__main__.py"
    program.write_text(PROGRAM.format(name="two") + LOGS.format(protect=True))
    assert shell.json("up", "--yes")["summary"]["replace"] == 1
    (arn,) = [each["TopicArn"] for each in cloud.client("sns").list_topics()["Topics"]]
    assert arn.endswith(":two")
    program.write_text(PROGRAM.format(name="two"))
    refused = shell.json("up", "--yes", code=4)
    assert refused["where"].endswith("::logs") and "protect" in refused["message"]
    assert len(cloud.client("logs").describe_log_groups()["logGroups"]) == 1
