"""Each planned SageMaker, CloudWatch and scaling resource as the API call it becomes, held against every bound that
botocore's own service models state (botocore checks no maximum, pattern or enum)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

SESSION = botocore.session.get_session()

OPERATIONS: dict[str, tuple[str, str, dict[str, str]]] = {
    "Model": (
        "sagemaker",
        "CreateModel",
        {"name": "ModelName", "modelDataUrl": "ModelDataUrl"},
    ),
    "EndpointConfiguration": (
        "sagemaker",
        "CreateEndpointConfig",
        {"name": "EndpointConfigName", "kmsKeyArn": "KmsKeyId"},
    ),
    "Endpoint": ("sagemaker", "CreateEndpoint", {"name": "EndpointName"}),
    "MetricAlarm": (
        "cloudwatch",
        "PutMetricAlarm",
        {"name": "AlarmName", "metricQueries": "Metrics", "okActions": "OKActions"},
    ),
    "LogGroup": ("logs", "CreateLogGroup", {"name": "logGroupName"}),
    "Target": ("application-autoscaling", "RegisterScalableTarget", {"resourceId": "ResourceId"}),
    "Policy": (
        "application-autoscaling",
        "PutScalingPolicy",
        {"name": "PolicyName", "targetTrackingScalingPolicyConfiguration": "TargetTrackingScalingPolicyConfiguration"},
    ),
    "ScheduledAction": ("application-autoscaling", "PutScheduledAction", {"name": "ScheduledActionName"}),
    "Dashboard": ("cloudwatch", "PutDashboard", {}),
    "Role": ("iam", "CreateRole", {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"}),
    "Key": ("kms", "CreateKey", {}),
    "SecurityGroup": ("ec2", "CreateSecurityGroup", {"name": "GroupName", "ingress": "", "egress": "", "tags": ""}),
    "Topic": ("sns", "CreateTopic", {"policy": ""}),
}
"""By resource: the service, the operation, and the members whose name is not the property's in capitals; empty for
a property that is none."""

ELSEWHERE = {"retentionInDays", "deletionWindowInDays", "enableKeyRotation", "kmsMasterKeyId", "region"}
"""Properties that other calls carry."""


def api_form(value: Any, shape: Any, names: dict[str, str]) -> Any:
    """A Pulumi input as the API's parameter: camelCase to the shape's member, maps to lists of pairs."""
    if shape.name == "MetricDataQuery" and "metric" in value:
        metric = {key: value["metric"][key] for key in ("namespace", "metricName", "dimensions")}
        around = {key: value["metric"][key] for key in ("period", "stat")}
        value = {"metricStat": {"metric": metric, **around}, **{key: value[key] for key in value if key != "metric"}}
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {each.lower(): each for each in shape.members}
        parameters = {}
        for key, item in value.items():
            if key in ELSEWHERE or names.get(key) == "":
                continue
            name = names[key] if names.get(key) in shape.members else members.get(key.lower())
            assert name in shape.members, f"{shape.name} has no {key}"
            parameters[name] = api_form(item, shape.members[name], names)
        return parameters
    if shape.type_name == "list":
        member = shape.member
        if isinstance(value, dict):
            key, pair = list(member.members)
            return [{key: name, pair: text} for name, text in value.items()]
        return [api_form(item, member, names) for item in value]
    return value


def complaints(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Every bound of `shape` that `value` breaks."""
    bounds = shape.metadata
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, item in value.items():
            yield from complaints(item, shape.members[name], f"{where}.{name}")
        return
    size = (
        value
        if shape.type_name in ("integer", "long", "float", "double")
        else len(value)
        if hasattr(value, "__len__")
        else None
    )
    if size is not None and not bounds.get("min", size) <= size <= bounds.get("max", size):
        yield f"{where} is {size}, bounds {bounds}"
    if "enum" in bounds and value not in bounds["enum"]:
        yield f"{where} is {value}"
    if "pattern" in bounds and isinstance(value, str) and not re.fullmatch(python_pattern(bounds["pattern"]), value):
        yield f"{where}: {value!r} is not {bounds['pattern']}"
    if shape.type_name == "list":
        for position, item in enumerate(value):
            yield from complaints(item, shape.member, f"{where}[{position}]")
    if shape.type_name == "map":
        for name, item in value.items():
            yield from complaints(name, shape.key, f"{where} key")
            yield from complaints(item, shape.value, f"{where}.{name}")


def python_pattern(pattern: str) -> str:
    """Java's character classes in Python's words."""
    for java, python in (
        (r"\p{L}", "a-zA-Z"),
        (r"\p{Z}", " "),
        (r"\p{N}", "0-9"),
        (r"\p{Print}", r"[\x20-\x7e]"),
        (r"\uD800\uDC00-\uDBFF\uDFFF", ""),
    ):
        pattern = pattern.replace(java, python)
    return pattern


def broken(plan: Any) -> list[str]:
    found: list[str] = []
    for noun, (service, operation, names) in OPERATIONS.items():
        shape = SESSION.get_service_model(service).operation_model(operation).input_shape
        for each in plan.of(noun):
            found += complaints(api_form(each.inputs, shape, names), shape, each.name)
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"instance": "ml.g5.xlarge"},
        {"network": {"vpc": "vpc-0a1b2c3d", "subnets": [f"subnet-{number}" for number in range(16)]}},
        {"network": {"subnets": ["subnet-1"], "security_groups": [f"sg-{number}" for number in range(5)]}},
        {"capture": {"percent": 100, "retention_days": 3650}},
        {"instance": "ml.c8g.medium", "timeouts": {"startup": 3600, "download": 60}},
        {"scaling": {"min": 3, "max": 3}},
        {"variants": [{"name": "a" * 31, "weight": 0.5}, {"name": "b", "weight": 0, "scaling": {"min": 3, "max": 3}}]},
        {"mode": "serverless", "serverless": {"provisioned": 1, "provisioned_max": 5}},
        {
            "mode": "async",
            "scaling": {"min": 0, "max": 3},
            "asynchronous": {"max_concurrent": 1000, "error_topic": "arn:aws:sns:us-east-1:111122223333:t"},
        },
        {"scaling": {"min": 1, "max": 7, "metric": "concurrency"}},
        {"rollout": {"bake": 3600}},
        {"rollout": {"strategy": "linear", "step": 10, "bake": 1260}, "scaling": {"min": 2}},
        {"rollout": {"strategy": "rolling", "step": 5, "bake": 630}, "scaling": {"min": 2}},
        {
            "scaling": {
                "min": 1,
                "max": 9,
                "steps": [{"above": 1500, "add": 1}, {"above": 2000.5, "add": 3}],
                "schedule": [{"name": "x" * 31, "when": "rate(2 hours)", "min": 1, "max": 1000}],
            }
        },
        {"tags": {"cost center": "a=b+c@d"}, "environment": {"A": "", "B": "x" * 1024}},
        {"alarms": {"notify": [f"arn:aws:sns:us-east-1:111122223333:t{number}" for number in range(4)]}},
        {"tags": {f"tag-{number}": "v" for number in range(45)}},
        {"environment": {f"V{number}": "v" for number in range(98)}},
    ],
    ids=lambda settings: next(iter(settings), "default"),
)
def test_every_planned_call_is_within_awss_bounds(evaluate: Any, settings: dict[str, Any]) -> None:
    assert broken(evaluate(**settings)) == []


@settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],  # an example costs a program run; shrinking would cost hundreds
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stack=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,59}", fullmatch=True),
    prefix=st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True),
)
def test_every_stack_name_gives_names_that_aws_takes(evaluate: Any, stack: str, prefix: str) -> None:
    plan = evaluate(stack, existing={"name_prefix": prefix})
    assert broken(plan) == []
    bucket = plan.one("Bucket").inputs["bucket"]
    assert re.fullmatch(r"(?!xn--|sthree-)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,256}", plan.one("Topic").inputs["name"])
    assert re.fullmatch(r"alias/[a-zA-Z0-9/_-]{1,250}", plan.one("Alias").inputs["name"])


def test_the_checker_sees_what_is_out_of_bounds(evaluate: Any) -> None:
    plan = evaluate()
    plan.one("Endpoint").inputs["name"] = "under_score"
    plan.one("EndpointConfiguration").inputs["productionVariants"][0]["instanceType"] = "ml.t3.medium"
    plan.one("Model").inputs["primaryContainer"]["image"] = "x" * 256
    del plan.one("Target").inputs["resourceId"]
    assert len(broken(plan)) == 4
