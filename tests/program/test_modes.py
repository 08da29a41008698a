"""What the modes `serverless` and `async` plan in place of a real-time endpoint's parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudmodel.core.errors import PreflightFailed

ACCOUNT = "111122223333"
KEY = f"arn:aws:made:us-east-1:{ACCOUNT}:key"
BUCKET = f"digits-local-{ACCOUNT}-us-east-1"


def variant(plan: Any) -> dict[str, Any]:
    (found,) = plan.one("EndpointConfiguration").inputs["productionVariants"]
    return dict(found)


def statements(plan: Any) -> dict[str, Any]:
    return {each["Sid"]: each for each in json.loads(plan.one("RolePolicy").inputs["policy"])["Statement"]}


def alarm(plan: Any, name: str) -> dict[str, Any]:
    (found,) = [each.inputs for each in plan.of("MetricAlarm") if each.name == f"alarm-{name}"]
    return dict(found)


def test_serverless_has_bounds_in_place_of_instances(evaluate: Any) -> None:
    plan = evaluate(mode="serverless", serverless={"memory": 4096, "max_concurrency": 7})
    made = variant(plan)
    assert made["serverlessConfig"] == {"memorySizeInMb": 4096, "maxConcurrency": 7}
    assert {"instanceType", "initialInstanceCount"} & set(made) == set()
    assert "kmsKeyArn" not in plan.one("EndpointConfiguration").inputs
    assert "Volume" not in statements(plan)
    # AWS isolates no serverless container; the plan says so aloud.
    assert plan.one("Model").inputs["enableNetworkIsolation"] is False
    assert not plan.of("Target")
    saturation = alarm(plan, "saturation")
    assert (saturation["metricName"], saturation["threshold"]) == ("ServerlessConcurrentExecutionsUtilization", 0.9)
    assert "input_uri" not in plan.outputs


def test_what_is_kept_warm_scales_where_it_is_asked(evaluate: Any) -> None:
    fixed = evaluate(mode="serverless", serverless={"provisioned": 2})
    assert variant(fixed)["serverlessConfig"]["provisionedConcurrency"] == 2
    assert not fixed.of("Target")
    plan = evaluate(mode="serverless", serverless={"provisioned": 1, "provisioned_max": 4, "utilization": 0.5})
    target, policy = plan.one("Target").inputs, plan.one("Policy").inputs
    assert target["scalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    assert (target["minCapacity"], target["maxCapacity"]) == (1, 4)
    tracked = policy["targetTrackingScalingPolicyConfiguration"]
    assert tracked["targetValue"] == 0.5
    assert tracked["predefinedMetricSpecification"] == {
        "predefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"
    }
    assert "endpoint" in plan.one("Target").dependencies


@pytest.mark.parametrize("change", [{"memory": 1024}, {"max_concurrency": 9}, {"provisioned": 1}])
def test_other_bounds_are_another_revision(evaluate: Any, change: dict[str, int]) -> None:
    before, after = evaluate(mode="serverless"), evaluate(mode="serverless", serverless=change)
    assert before.outputs["revision"] != after.outputs["revision"]
    assert before.one("Model").inputs == after.one("Model").inputs


def test_a_serverless_image_is_of_the_stacks_own_account(evaluate: Any, bundle: Any) -> None:
    stack = {"target": "aws", "aws:region": "us-east-1", "aws:allowedAccountIds": [ACCOUNT], "bundle": bundle()}
    image = ".dkr.ecr.us-east-1.amazonaws.com/serving@sha256:" + "0" * 64
    own = {"image": f"{ACCOUNT}{image}"}
    assert evaluate("prod", mode="serverless", existing=own, **stack).one("Model")
    with pytest.raises(PreflightFailed, match="pulls no image of another account"):
        evaluate("prod", mode="serverless", existing={"image": f"999988887777{image}"}, **stack)


def test_async_reads_and_writes_in_its_own_folder(evaluate: Any) -> None:
    plan = evaluate(mode="async", asynchronous={"max_concurrent": 3, "retention_days": 5})
    place = f"{BUCKET}/async/digits-local"
    assert plan.one("EndpointConfiguration").inputs["asyncInferenceConfig"] == {
        "outputConfig": {
            "s3OutputPath": f"s3://{place}/output",
            "s3FailurePath": f"s3://{place}/failure",
            "kmsKeyId": KEY,
        },
        "clientConfig": {"maxConcurrentInvocationsPerInstance": 3},
    }
    assert plan.outputs["input_uri"] == f"s3://{place}/input"
    allowed = statements(plan)
    assert allowed["Inputs"]["Resource"] == f"arn:aws:s3:::{place}/input/*"
    assert allowed["Outputs"]["Resource"] == [f"arn:aws:s3:::{place}/output/*", f"arn:aws:s3:::{place}/failure/*"]
    assert allowed["QueueKey"]["Resource"] == KEY
    assert "Tell" not in allowed
    rules = {rule["id"]: rule for rule in plan.one("BucketLifecycleConfiguration").inputs["rules"]}
    assert rules["expire-requests"]["filter"] == {"prefix": "async/digits-local/"}
    assert rules["expire-requests"]["expiration"] == {"days": 5}
    assert "Inputs" not in statements(evaluate())
    assert plan.one("Model").inputs["enableNetworkIsolation"] is True


def test_async_topics_are_made_or_used_and_the_role_may_tell_them(evaluate: Any) -> None:
    pager = f"arn:aws:sns:us-east-1:{ACCOUNT}:pager"
    plan = evaluate(mode="async", asynchronous={"success_topic": "create", "error_topic": pager})
    made = {each.name: each.inputs for each in plan.of("Topic")}
    assert made["topic-success"]["name"] == "digits-local-success"
    assert made["topic-success"]["kmsMasterKeyId"] == KEY
    (denied,) = json.loads(made["topic-success"]["policy"])["Statement"]
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert "topic-error" not in made
    told = plan.one("EndpointConfiguration").inputs["asyncInferenceConfig"]["outputConfig"]["notificationConfig"]
    assert told == {"successTopic": f"arn:aws:made:us-east-1:{ACCOUNT}:topic-success", "errorTopic": pager}
    success = f"arn:aws:sns:us-east-1:{ACCOUNT}:digits-local-success"
    assert statements(plan)["Tell"] == {
        "Sid": "Tell",
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Resource": [success, pager],
    }


def test_a_bucket_that_exists_is_used_and_not_changed(evaluate: Any) -> None:
    plan = evaluate(mode="async", asynchronous={"bucket": "acme-requests", "prefix": "team/q"})
    assert plan.outputs["input_uri"] == "s3://acme-requests/team/q/digits-local/input"
    assert statements(plan)["Inputs"]["Resource"] == "arn:aws:s3:::acme-requests/team/q/digits-local/input/*"
    rules = [rule["id"] for rule in plan.one("BucketLifecycleConfiguration").inputs["rules"]]
    assert "expire-requests" not in rules


def test_async_scales_by_the_backlog_of_each_instance(evaluate: Any) -> None:
    plan = evaluate(mode="async", scaling={"min": 1, "max": 4})
    tracked = plan.one("Policy").inputs["targetTrackingScalingPolicyConfiguration"]
    assert tracked["customizedMetricSpecification"] == {
        "metricName": "ApproximateBacklogSizePerInstance",
        "namespace": "AWS/SageMaker",
        "statistic": "Average",
        "dimensions": [{"name": "EndpointName", "value": "digits-local"}],
    }
    assert tracked["targetValue"] == 5
    assert sorted(each.name for each in plan.of("MetricAlarm")) == ["alarm-errors", "alarm-latency", "alarm-saturation"]
    counted = {query["id"]: query["metric"] for query in alarm(plan, "errors")["metricQueries"] if "metric" in query}
    assert (counted["errors"]["metricName"], counted["requests"]["metricName"]) == (
        "InvocationFailures",
        "ModelLatency",
    )


def test_async_from_zero_is_woken_by_a_policy_of_its_own(evaluate: Any) -> None:
    plan = evaluate(mode="async", scaling={"min": 0, "max": 4, "target": 2})
    assert plan.one("Target").inputs["minCapacity"] == 0
    assert variant(plan)["initialInstanceCount"] == 1  # a configuration begins with no less
    policies = {each.name: each.inputs for each in plan.of("Policy")}
    assert policies["scaling-policy"]["targetTrackingScalingPolicyConfiguration"]["targetValue"] == 2
    step = policies["wake-policy"]["stepScalingPolicyConfiguration"]
    assert step["adjustmentType"] == "ChangeInCapacity"
    assert step["stepAdjustments"] == [{"scalingAdjustment": 1, "metricIntervalLowerBound": "0"}]
    woken = alarm(plan, "wake")
    assert (woken["metricName"], woken["threshold"], woken["treatMissingData"]) == (
        "HasBacklogWithoutCapacity",
        1,
        "missing",
    )
    assert woken["comparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert (woken["evaluationPeriods"], woken["datapointsToAlarm"]) == (2, 2)


@pytest.mark.parametrize(
    "change", [{"max_concurrent": 2}, {"prefix": "other"}, {"error_topic": "create"}, {"bucket": "acme-requests"}]
)
def test_another_queue_is_another_revision(evaluate: Any, change: dict[str, Any]) -> None:
    before, after = evaluate(mode="async"), evaluate(mode="async", asynchronous=change)
    assert before.outputs["revision"] != after.outputs["revision"]
    assert evaluate().outputs["revision"] != before.outputs["revision"]


OWNED = {
    "role": f"arn:aws:iam::{ACCOUNT}:role/serving",
    "bucket": "acme-models",
    "key": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "name_prefix": "acme-",
}


@pytest.mark.parametrize("mode", ["realtime", "serverless", "async"])
def test_what_the_platform_owns_is_used_in_every_mode_and_nothing_of_it_is_made(evaluate: Any, mode: str) -> None:
    plan = evaluate(mode=mode, existing=OWNED)
    for noun in ("Role", "RolePolicy", "Bucket", "BucketPolicy", "BucketLifecycleConfiguration", "Key", "Alias"):
        assert plan.of(noun) == [], noun
    assert plan.one("Model").inputs["executionRoleArn"] == OWNED["role"]
    bundle = plan.one("BucketObjectv2").inputs
    assert (bundle["bucket"], bundle["kmsKeyId"]) == (OWNED["bucket"], OWNED["key"])
    configured = plan.one("EndpointConfiguration").inputs
    assert configured.get("kmsKeyArn") == (None if mode == "serverless" else OWNED["key"])
    if mode == "async":
        output = configured["asyncInferenceConfig"]["outputConfig"]
        assert output["kmsKeyId"] == OWNED["key"] and output["s3OutputPath"].startswith("s3://acme-models/")
    assert plan.one("Endpoint").inputs["name"] == "acme-digits-local"
    bounded = evaluate(mode=mode, existing={"boundary": f"arn:aws:iam::{ACCOUNT}:policy/limits"}).one("Role")
    assert bounded.inputs["permissionsBoundary"].endswith("policy/limits")
