"""Targets, policies and scheduled actions on moto."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmodel.core.resource import DiffKind

TARGET = "aws:appautoscaling/target:Target"
POLICY = "aws:appautoscaling/policy:Policy"
ACTION = "aws:appautoscaling/scheduledAction:ScheduledAction"


@pytest.fixture
def what(aws: Any) -> dict[str, Any]:
    container = {"image": "i", "modelDataUrl": "s3://b/k.tar.gz"}
    role = "arn:aws:iam::123456789012:role/serving"
    model = {"name": "m", "executionRoleArn": role, "primaryContainer": container}
    aws.create("aws:sagemaker/model:Model", model)
    variant = {"modelName": "m", "instanceType": "ml.m5.large", "initialInstanceCount": 1, "variantName": "v"}
    configuration = {"name": "c", "productionVariants": [variant]}
    aws.create("aws:sagemaker/endpointConfiguration:EndpointConfiguration", configuration)
    aws.create("aws:sagemaker/endpoint:Endpoint", {"name": "e", "endpointConfigName": "c"})
    return {
        "resourceId": "endpoint/e/variant/v",
        "scalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "serviceNamespace": "sagemaker",
    }


@pytest.fixture
def target(aws: Any, what: dict[str, Any]) -> Any:
    return aws.create(TARGET, {**what, "minCapacity": 1, "maxCapacity": 3})


def tracking(value: float, **more: Any) -> dict[str, Any]:
    metric = {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    configuration = {"targetValue": value, "predefinedMetricSpecification": metric, "scaleInCooldown": 300, **more}
    return {"policyType": "TargetTrackingScaling", "targetTrackingScalingPolicyConfiguration": configuration}


def test_a_target_from_register_to_deregister(aws: Any, what: dict[str, Any], target: Any) -> None:
    assert target.id == what["resourceId"]
    assert aws.read(TARGET, target) == target
    assert aws.find(TARGET, target.inputs) == target.id
    news = {**what, "minCapacity": 2, "maxCapacity": 3, "suspendedState": {"dynamicScalingInSuspended": True}}
    assert set(aws.diff(TARGET, target, news).changes) == {"minCapacity", "suspendedState"}
    changed = aws.update(TARGET, target, news)
    assert aws.read(TARGET, changed) == changed
    aws.delete(TARGET, changed)
    assert aws.read(TARGET, changed) is None
    assert aws.find(TARGET, target.inputs) is None
    aws.delete(TARGET, changed)


@pytest.mark.parametrize("property", ["resourceId", "scalableDimension", "serviceNamespace"])
def test_what_is_scaled_replaces(aws: Any, what: dict[str, Any], target: Any, property: str) -> None:
    news = {**what, "minCapacity": 1, "maxCapacity": 3, property: "other"}
    assert aws.diff(TARGET, target, news).replaces == (property,)


def test_a_target_is_imported_by_its_three_parts(aws: Any, what: dict[str, Any], target: Any) -> None:
    id = f"sagemaker/{what['resourceId']}/{what['scalableDimension']}"
    live = aws.provider.read("urn", TARGET, id, {}, {})
    assert live.id == target.id and live.inputs["maxCapacity"] == 3
    assert aws.provider.read("urn", TARGET, "not/enough", {}, {}) is None


STEP = {"scalingAdjustment": 1, "metricIntervalLowerBound": "0"}
POLICIES = [
    (tracking(100), tracking(120.5, scaleOutCooldown=60, disableScaleIn=True)),
    (
        {"stepScalingPolicyConfiguration": {"adjustmentType": "ChangeInCapacity", "stepAdjustments": [STEP]}},
        {"stepScalingPolicyConfiguration": {"adjustmentType": "ExactCapacity", "stepAdjustments": [STEP]}},
    ),
]


@pytest.mark.parametrize(("first", "second"), POLICIES, ids=["target tracking", "step"])
def test_a_policy_from_put_to_delete(aws: Any, what: dict[str, Any], target: Any, first: Any, second: Any) -> None:
    live = aws.create(POLICY, {**what, "name": "p", **first})
    assert live.id == "p" and live.outputs["arn"]
    assert aws.read(POLICY, live) == live
    assert aws.find(POLICY, live.inputs) == "p"
    difference = aws.diff(POLICY, live, {**what, "name": "p", **second})
    assert difference.changes and not difference.replaces
    changed = aws.update(POLICY, live, {**what, "name": "p", **second})
    assert aws.read(POLICY, changed) == changed
    assert aws.diff(POLICY, changed, {**what, "name": "p", **second}).changes == {}
    assert aws.diff(POLICY, live, {**what, "name": "q", **first}).replaces == ("name",)
    aws.delete(POLICY, changed)
    assert aws.read(POLICY, changed) is None
    aws.delete(POLICY, changed)


def test_a_customized_metric(aws: Any, what: dict[str, Any], target: Any) -> None:
    metric = {
        "metricName": "CPUUtilization",
        "namespace": "/aws/sagemaker/Endpoints",
        "statistic": "Average",
        "dimensions": [{"name": "EndpointName", "value": "e"}, {"name": "VariantName", "value": "v"}],
    }
    inputs = {
        **what,
        "policyType": "TargetTrackingScaling",
        "targetTrackingScalingPolicyConfiguration": {"targetValue": 70, "customizedMetricSpecification": metric},
    }
    live = aws.create(POLICY, inputs)
    assert aws.read(POLICY, live) == live
    assert aws.diff(POLICY, live, inputs).changes == {}


def test_a_scheduled_action_from_put_to_delete(aws: Any, what: dict[str, Any], target: Any) -> None:
    inputs = {**what, "name": "night", "schedule": "cron(0 20 * * ? *)", "scalableTargetAction": {"maxCapacity": 1}}
    live = aws.create(ACTION, inputs)
    assert live.id == f"night-sagemaker-{what['resourceId']}" and live.outputs["timezone"] == "UTC"
    assert aws.read(ACTION, live) == live
    assert aws.find(ACTION, live.inputs) == live.id
    news = {**inputs, "schedule": "rate(1 day)"}
    assert aws.diff(ACTION, live, news).changes == {"schedule": DiffKind.UPDATE}
    changed = aws.update(ACTION, live, news)
    assert aws.read(ACTION, changed) == changed
    aws.delete(ACTION, changed)
    assert aws.read(ACTION, changed) is None
    aws.delete(ACTION, changed)
