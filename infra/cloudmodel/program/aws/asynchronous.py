"""An endpoint whose requests wait in a queue: where its input and output lie, who hears of them, what scales it.

The backlog's metrics have the endpoint as their only dimension. Target tracking follows the backlog of each instance;
where there is no instance it has none, so a policy of its own starts the first one.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from cloudmodel.program import policies
from cloudmodel.program.aws.encryption import Encryption
from cloudmodel.program.deployment import Deployment

BACKLOG = "ApproximateBacklogSizePerInstance"
USUAL_BACKLOG = 5.0
"""Requests that wait for each instance, as a target to begin with (AWS's guide for async endpoints)."""
COOLDOWN = 300
"""Seconds before a second instance is added to none."""


class Queue(pulumi.ComponentResource):
    """The topics that the stack makes, and `configuration`: the AsyncInferenceConfig."""

    configuration: aws.sagemaker.EndpointConfigurationAsyncInferenceConfigArgsDict

    def __init__(
        self,
        deployment: Deployment,
        bucket: pulumi.Output[str],
        encryption: Encryption,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cloudmodel:aws:Queue", "queue", None, opts)
        wanted = deployment.settings.asynchronous
        heard: dict[str, pulumi.Input[str]] = {}
        for outcome, topic in wanted.topics.items():
            heard[f"{outcome}_topic"] = topic
            if topic == "create":
                name = deployment.queue_topic(outcome)
                made = aws.sns.Topic(
                    f"topic-{outcome}",
                    name=name,
                    policy=policies.tls_only_topic(deployment, name),
                    kms_master_key_id=encryption.own_arn,
                    tags=deployment.tags,
                    opts=pulumi.ResourceOptions(parent=self),
                )
                heard[f"{outcome}_topic"] = made.arn
        place = pulumi.Output.concat("s3://", wanted.bucket or bucket, "/", deployment.queue_prefix)
        output: Any = {
            "s3_output_path": pulumi.Output.concat(place, "output"),
            "s3_failure_path": pulumi.Output.concat(place, "failure"),
            "kms_key_id": encryption.arn,
            **({"notification_config": heard} if heard else {}),
        }
        self.configuration = {"output_config": output}
        if wanted.max_concurrent is not None:
            self.configuration["client_config"] = {"max_concurrent_invocations_per_instance": wanted.max_concurrent}
        self.input = pulumi.Output.concat(place, "input")
        self.register_outputs({"input": self.input})


def content(deployment: Deployment) -> dict[str, Any]:
    """What makes one configuration of a queue another one; nothing for an endpoint that has none."""
    if deployment.settings.mode != "async":
        return {}
    wanted = deployment.settings.asynchronous
    return {"queue": [wanted.bucket, deployment.queue_prefix, wanted.topics, wanted.max_concurrent]}


def lifecycle(deployment: Deployment) -> list[aws.s3.BucketLifecycleConfigurationRuleArgsDict]:
    """The rule of the stack's bucket that ends inputs and outputs, where they lie in it."""
    wanted = deployment.settings.asynchronous
    if deployment.settings.mode != "async" or wanted.bucket:
        return []
    return [
        {
            "id": "expire-requests",
            "status": "Enabled",
            "filter": {"prefix": deployment.queue_prefix},
            "expiration": {"days": wanted.retention_days},
            "noncurrent_version_expiration": {"noncurrent_days": 1},
        }
    ]


def tracking(
    endpoint: pulumi.Output[str],
) -> aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgsDict:
    """The metric that target tracking follows."""
    return {
        "metric_name": BACKLOG,
        "namespace": "AWS/SageMaker",
        "statistic": "Average",
        "dimensions": [{"name": "EndpointName", "value": endpoint}],
    }


def wake(
    deployment: Deployment,
    endpoint: pulumi.Output[str],
    of_variant: dict[str, Any],
    opts: pulumi.ResourceOptions,
) -> None:
    """Starts the first instance of an endpoint that has none when a request waits."""
    policy = aws.appautoscaling.Policy(
        "wake-policy",
        name=f"{deployment.name}-wake",
        policy_type="StepScaling",
        step_scaling_policy_configuration={
            "adjustment_type": "ChangeInCapacity",
            "cooldown": COOLDOWN,
            "metric_aggregation_type": "Average",
            "step_adjustments": [{"scaling_adjustment": 1, "metric_interval_lower_bound": "0"}],
        },
        opts=opts,
        **of_variant,
    )
    aws.cloudwatch.MetricAlarm(
        "alarm-wake",
        name=f"{deployment.name}-wake",
        alarm_description="A request waits and there is no instance. Starts one",
        namespace="AWS/SageMaker",
        metric_name="HasBacklogWithoutCapacity",
        statistic="Average",
        dimensions={"EndpointName": endpoint},
        period=60,
        evaluation_periods=2,
        datapoints_to_alarm=2,
        threshold=1,
        comparison_operator="GreaterThanOrEqualToThreshold",
        treat_missing_data="missing",
        alarm_actions=[policy.arn],
        tags=deployment.tags,
        opts=opts,
    )
