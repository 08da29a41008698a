"""The deployment configuration of the endpoint, by strategy; what it watches is there before it."""

from __future__ import annotations

import json
from typing import Any

import pytest

ACCOUNT = "111122223333"
OWN = ["digits-local-errors", "digits-local-latency", "digits-local-saturation"]


def percent(value: int) -> dict[str, Any]:
    return {"type": "CAPACITY_PERCENT", "value": value}


def blue_green(kind: str, wait: int, longest: int, **size: Any) -> dict[str, Any]:
    return {
        "blueGreenUpdatePolicy": {
            "trafficRoutingConfiguration": {"type": kind, "waitIntervalInSeconds": wait, **size},
            "terminationWaitInSeconds": wait,
            "maximumExecutionTimeoutInSeconds": longest,
        }
    }


def rolling(size: int, wait: int, longest: int) -> dict[str, Any]:
    return {
        "rollingUpdatePolicy": {
            "maximumBatchSize": percent(size),
            "waitIntervalInSeconds": wait,
            "maximumExecutionTimeoutInSeconds": longest,
        }
    }


@pytest.mark.parametrize(
    ("rollout", "policy", "alarms"),
    [
        ({"bake": 60}, blue_green("ALL_AT_ONCE", 60, 1860), OWN),
        ({"strategy": "canary"}, blue_green("CANARY", 300, 2400, canarySize=percent(10)), OWN),
        (
            {"strategy": "canary", "step": 50, "bake": 9, "rollback_on": ["latency", "pager"]},
            blue_green("CANARY", 9, 1818, canarySize=percent(50)),
            ["digits-local-latency", "pager"],
        ),
        ({"strategy": "linear"}, blue_green("LINEAR", 300, 3000, linearStepSize=percent(25)), OWN),
        (
            {"strategy": "linear", "step": 40, "bake": 100, "rollback_on": []},
            blue_green("LINEAR", 100, 2100, linearStepSize=percent(40)),
            [],
        ),
        ({"strategy": "rolling"}, rolling(25, 300, 8400), OWN),
        ({"strategy": "rolling", "step": 5, "bake": 0}, rolling(5, 0, 14400), []),
    ],
    ids=str,
)
def test_each_strategy_is_a_deployment_configuration(
    evaluate: Any, rollout: dict[str, Any], policy: dict[str, Any], alarms: list[str]
) -> None:
    plan = evaluate(rollout=rollout, scaling={"min": 2, "max": 4})
    found = plan.one("Endpoint").inputs["deploymentConfig"]
    watched = {"autoRollbackConfiguration": {"alarms": [{"alarmName": name} for name in alarms]}} if alarms else {}
    assert found == policy | watched
    # The role is the one that looks at the alarms, and it may look at no others.
    allowed = [
        statement["Resource"]
        for statement in json.loads(plan.one("RolePolicy").inputs["policy"])["Statement"]
        if statement["Action"] == "cloudwatch:DescribeAlarms"
    ]
    region = "us-east-1"
    assert allowed == ([[f"arn:aws:cloudwatch:{region}:{ACCOUNT}:alarm:{name}" for name in alarms]] if alarms else [])


@pytest.mark.parametrize("rollout", [{}, {"bake": 0}, {"rollback_on": []}])
def test_what_sagemaker_does_unasked_is_not_asked_for(evaluate: Any, rollout: dict[str, Any]) -> None:
    plan = evaluate(rollout=rollout)
    assert "deploymentConfig" not in plan.one("Endpoint").inputs
    assert "DescribeAlarms" not in plan.one("RolePolicy").inputs["policy"]


def test_the_alarms_are_there_before_the_endpoint_that_goes_back_when_they_go_off(evaluate: Any) -> None:
    plan = evaluate(rollout={"strategy": "canary"}, scaling={"min": 2})
    assert {"alarm-errors", "alarm-latency", "alarm-saturation"} <= plan.one("Endpoint").dependencies
