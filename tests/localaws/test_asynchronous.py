"""InvokeEndpointAsync as boto3 sees it: S3 in, S3 out, SNS told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError


class Queued:
    """An asynchronous endpoint with a bucket, and a queue that hears both of its topics."""

    def __init__(self, cloud: Any, **client: Any) -> None:
        self.cloud = cloud
        self.bucket = cloud.name("async")
        cloud.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": cloud.REGION})
        self.sqs, sns = cloud.client("sqs"), cloud.client("sns")
        self.queue = self.sqs.create_queue(QueueName=cloud.name("queue"))["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topics = {
            name: sns.create_topic(Name=cloud.name("topic"))["TopicArn"] for name in ("SuccessTopic", "ErrorTopic")
        }
        for topic in topics.values():
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        config = cloud.name("config")
        cloud.sagemaker.create_endpoint_config(
            EndpointConfigName=config,
            ProductionVariants=[variant(cloud.model([1, 2]))],
            AsyncInferenceConfig={
                "OutputConfig": {
                    "S3OutputPath": f"s3://{self.bucket}/out",
                    "S3FailurePath": f"s3://{self.bucket}/lost",
                    "NotificationConfig": topics,
                },
                "ClientConfig": client,
            },
        )
        self.name = cloud.endpoint(config)

    def put(self, body: bytes) -> str:
        key = self.cloud.name("in/input")
        self.cloud.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def ask(self, body: bytes, **more: Any) -> Any:
        return self.cloud.runtime.invoke_endpoint_async(
            EndpointName=self.name, InputLocation=self.put(body), ContentType="text/plain", **more
        )

    def get(self, place: str) -> Any:
        """The object at `place`, once it is there."""
        bucket, _, key = place.removeprefix("s3://").partition("/")
        found: list[Any] = []

        def is_there() -> bool:
            try:
                found.append(self.cloud.s3.get_object(Bucket=bucket, Key=key))
            except ClientError:
                return False
            return True

        self.cloud.until(is_there)
        return found[0]

    def heard(self) -> dict[str, Any]:
        """The next notification."""
        messages: list[Any] = []

        def has_come() -> bool:
            messages.extend(self.sqs.receive_message(QueueUrl=self.queue).get("Messages", []))
            return bool(messages)

        self.cloud.until(has_come)
        self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=messages[0]["ReceiptHandle"])
        return dict(json.loads(json.loads(messages[0]["Body"])["Message"]))

    def scale(self, count: int) -> None:
        self.cloud.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.name, DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredInstanceCount": count}]
        )
        self.cloud.settled(self.name)


def variant(model: str, **more: Any) -> dict[str, Any]:
    return {"VariantName": "v", "ModelName": model, "InstanceType": "ml.c7i.large", "InitialInstanceCount": 1, **more}


def test_an_input_becomes_an_output_and_a_failure_a_failure_and_both_are_told(cloud: Any) -> None:
    queued = Queued(cloud, MaxConcurrentInvocationsPerInstance=2)

    accepted = queued.ask(b"hello", InferenceId="mine")
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "mine"
    output = queued.get(accepted["OutputLocation"])
    assert (json.loads(output["Body"].read()), output["ContentType"]) == ([1, 2], "application/json")
    told = queued.heard()
    assert (told["invocationStatus"], told["inferenceId"]) == ("Completed", "mine")
    assert told["responseParameters"]["outputLocation"] == accepted["OutputLocation"]

    accepted = queued.ask(b"raise")
    assert "the model broke" in queued.get(accepted["FailureLocation"])["Body"].read().decode()
    told = queued.heard()
    assert (told["invocationStatus"], told["requestParameters"]["endpointName"]) == ("Failed", queued.name)
    assert "the model broke" in told["failureReason"]

    nothing = f"s3://{queued.bucket}/not-there"
    accepted = cloud.runtime.invoke_endpoint_async(EndpointName=queued.name, InputLocation=nothing)
    assert nothing in queued.get(accepted["FailureLocation"])["Body"].read().decode()

    # Capacity: with no instance requests wait, with one they are carried out; nothing is lost in between.
    queued.scale(0)
    waiting = [queued.ask(f"n{number}".encode()) for number in range(5)]
    objects = cloud.s3.list_objects_v2(Bucket=queued.bucket, Prefix="out/")["Contents"]
    assert len(objects) == 1
    queued.scale(1)
    for each in waiting:
        assert json.loads(queued.get(each["OutputLocation"])["Body"].read()) == [1, 2]

    # What it does not take.
    inline = cloud.runtime.invoke_endpoint_async(EndpointName=queued.name, Body=b"hello", Filename="named.json")
    assert inline["OutputLocation"].endswith("/out/named.json")
    assert json.loads(queued.get(inline["OutputLocation"])["Body"].read()) == [1, 2]
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=queued.name, Body=b"x")
    assert "InvokeEndpointAsync asks it" in error["Error"]["Message"]
    for change, words in (
        ({}, "Exactly one of InputLocation and Body"),
        ({"InputLocation": "ftp://x/y"}, "inputLocation"),
        ({"InputLocation": "s3://b/k", "RequestTTLSeconds": 21601}, "less than or equal to 21600"),
        ({"InputLocation": "s3://b/k", "EndpointName": "nobody"}, "not found"),
    ):
        error = cloud.refused(cloud.runtime.invoke_endpoint_async, **{"EndpointName": queued.name, **change})
        assert words in error["Error"]["Message"]


def test_an_endpoint_that_is_not_asynchronous_says_so(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model()))
    error = cloud.refused(cloud.runtime.invoke_endpoint_async, EndpointName=name, InputLocation="s3://b/k")
    assert "is not asynchronous" in error["Error"]["Message"]
    capacity = [{"VariantName": "v0", "DesiredInstanceCount": 0}]
    error = cloud.refused(
        cloud.sagemaker.update_endpoint_weights_and_capacities,
        EndpointName=name,
        DesiredWeightsAndCapacities=capacity,
    )
    assert "cannot have 0 instances" in error["Error"]["Message"]


@pytest.mark.parametrize("least", [0, 1])
def test_only_an_asynchronous_endpoint_scales_to_zero(cloud: Any, least: int) -> None:
    queued = Queued(cloud) if not least else None
    name = queued.name if queued else cloud.endpoint(cloud.config(cloud.model()))
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{'v0' if least else 'v'}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 0,
        "MaxCapacity": 3,
    }
    if least:
        error = cloud.refused(cloud.scaling.register_scalable_target, **target)
        assert "must be at least 1" in error["Error"]["Message"]
    else:
        assert cloud.scaling.register_scalable_target(**target)["ScalableTargetARN"]


def test_policies_follow_the_backlog_up_down_and_from_nothing(cloud: Any, tmp_path: Path) -> None:
    now, gate = cloud.clock(speed=0), tmp_path / "gate"
    cloud.clock(forward=60 - now % 60 + 1)  # a second into a minute
    queued = Queued(cloud, MaxConcurrentInvocationsPerInstance=1)
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{queued.name}/variant/v",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    cloud.scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=4)
    of_endpoint = [{"Name": "EndpointName", "Value": queued.name}]
    backlog = {"Namespace": "AWS/SageMaker", "Dimensions": of_endpoint}
    tracked = {**backlog, "MetricName": "ApproximateBacklogSizePerInstance", "Statistic": "Average"}
    cloud.scaling.put_scaling_policy(
        **target, PolicyName="follow", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 2.0, "ScaleInCooldown": 0, "ScaleOutCooldown": 0, "CustomizedMetricSpecification": tracked,
        },
    )  # fmt: skip
    step = {"AdjustmentType": "ChangeInCapacity", "Cooldown": 300}
    wake = cloud.scaling.put_scaling_policy(
        **target, PolicyName="wake", PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            **step, "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )["PolicyARN"]  # fmt: skip
    cloud.cloudwatch.put_metric_alarm(
        **backlog, AlarmName=f"{queued.name}-wake", MetricName="HasBacklogWithoutCapacity", Statistic="Average",
        Period=60, EvaluationPeriods=2, DatapointsToAlarm=2, Threshold=1, AlarmActions=[wake],
        ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="missing",
    )  # fmt: skip

    def instances_after_a_minute() -> int:
        cloud.clock(forward=60)
        (found,) = cloud.settled(queued.name)["ProductionVariants"]
        return int(found["DesiredInstanceCount"])

    def becomes(count: int) -> None:
        cloud.until(lambda: instances_after_a_minute() == count)

    becomes(0)  # a quarter of an hour without requests
    requests = [queued.ask(str(gate).encode()) for _ in range(6)]
    becomes(3)  # the alarm starts one; six are too many for it, where two are wanted
    gate.touch()
    for each in requests:
        assert json.loads(queued.get(each["OutputLocation"])["Body"].read()) == [1, 2]
    becomes(0)
    causes = [
        each["Cause"]
        for each in cloud.scaling.describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=target["ResourceId"]
        )["ScalingActivities"]
    ]
    assert causes == [f"the policy {name}" for name in ("follow", "follow", "wake", "follow")]
