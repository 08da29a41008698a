"""How many instances a variant of the endpoint has: target tracking, steps for a sudden load, a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudmodel.program.aws import asynchronous
from cloudmodel.program.aws.endpoint import Endpoint
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.variant import Variant
from cloudmodel.settings.scaling import Step

TRACKED = {
    "invocations": ("SageMakerVariantInvocationsPerInstance", 1000.0),
    "concurrency": ("SageMakerVariantConcurrentRequestsPerModelHighResolution", 4.0),
}
"""By the setting's word: the predefined metric, and a target per instance to begin with. The first counts per minute,
the second is emitted every 10 s; both are to be measured: requests a second that one instance bears, times 60, times
0.5."""

COUNTED = {
    "invocations": ("InvocationsPerInstance", "Sum"),
    "concurrency": ("ConcurrentRequestsPerModel", "Average"),
    "backlog": (asynchronous.BACKLOG, "Average"),
}
"""The same as CloudWatch has it for alarms: metric and statistic of a minute."""


Adjustment = aws.appautoscaling.PolicyStepScalingPolicyConfigurationStepAdjustmentArgsDict


class Autoscaling(pulumi.ComponentResource):
    """Keeps the metric near its target by changing the number of instances between min and max."""

    def __init__(
        self,
        deployment: Deployment,
        variant: Variant,
        endpoint: Endpoint,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cloudmodel:aws:Autoscaling", variant.called("autoscaling"), None, opts)
        scaling, name = variant.scaling, deployment.of_variant(variant)
        metric, usual_target, specification = _tracked(deployment, variant, endpoint)
        child = pulumi.ResourceOptions(parent=self)
        called = variant.called("scaling-target")
        target = aws.appautoscaling.Target(
            called,
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            # Made of the machines, too, so that it is taken down before they change.
            resource_id=pulumi.Output.all(endpoint.name, endpoint.machines).apply(
                lambda known: f"endpoint/{known[0]}/variant/{variant.name}"
            ),
            min_capacity=scaling.min,
            max_capacity=scaling.max,
            # AWS makes up its name: roles know it by its tag.
            tags=deployment.tags | deployment.identity_tag("aws:appautoscaling/target:Target", called),
            opts=pulumi.ResourceOptions(
                parent=self,
                # The endpoint must stand, whatever its name says.
                depends_on=[endpoint],
                ignore_changes=["minCapacity", "maxCapacity"] if scaling.schedule else None,
            ),
        )
        of_variant: dict[str, Any] = {
            "service_namespace": target.service_namespace,
            "scalable_dimension": target.scalable_dimension,
            "resource_id": target.resource_id,
        }
        tracking: Any = {
            **specification,
            "target_value": scaling.target or usual_target,
            "scale_in_cooldown": scaling.scale_in_cooldown,
            "scale_out_cooldown": scaling.scale_out_cooldown,
        }
        aws.appautoscaling.Policy(
            variant.called("scaling-policy"),
            name=f"{name}-{metric}",
            policy_type="TargetTrackingScaling",
            target_tracking_scaling_policy_configuration=tracking,
            opts=child,
            **of_variant,
        )
        for entry in scaling.schedule:
            aws.appautoscaling.ScheduledAction(
                variant.called(f"schedule-{entry.name}"),
                name=f"{name}-{entry.name}",
                schedule=entry.when,
                timezone=entry.timezone,
                scalable_target_action={"min_capacity": entry.min, "max_capacity": entry.max},
                opts=child,
                **of_variant,
            )
        if scaling.steps:
            self._steps(deployment, variant, endpoint, of_variant, child)
        if scaling.least == 0:
            asynchronous.wake(deployment, endpoint.name, of_variant, child)
        self.register_outputs({})

    def _steps(
        self,
        deployment: Deployment,
        variant: Variant,
        endpoint: Endpoint,
        of_variant: dict[str, Any],
        child: pulumi.ResourceOptions,
    ) -> None:
        """Tracking adds instances after minutes; the alarm of a sudden load adds them after one."""
        scaling, name = variant.scaling, deployment.of_variant(variant)
        policy = aws.appautoscaling.Policy(
            variant.called("step-policy"),
            name=f"{name}-steps",
            policy_type="StepScaling",
            step_scaling_policy_configuration={
                "adjustment_type": "ChangeInCapacity",
                "cooldown": scaling.scale_out_cooldown,
                "metric_aggregation_type": "Average",
                "step_adjustments": adjustments(scaling.steps),
            },
            opts=child,
            **of_variant,
        )
        word = deployment.scaled_by(variant)
        metric, statistic = COUNTED[word]
        first = scaling.steps[0].above
        aws.cloudwatch.MetricAlarm(
            variant.called("alarm-steps"),
            name=f"{name}-steps",
            alarm_description=f"A sudden load: {word} per instance over {first:g}. Adds instances",
            namespace="AWS/SageMaker",
            metric_name=metric,
            statistic=statistic,
            dimensions={"EndpointName": endpoint.name, **({} if word == "backlog" else {"VariantName": variant.name})},
            period=60,
            evaluation_periods=1,
            threshold=first,
            comparison_operator="GreaterThanThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[policy.arn],
            tags=deployment.tags,
            opts=child,
        )


def _tracked(deployment: Deployment, variant: Variant, endpoint: Endpoint) -> tuple[str, float, Any]:
    """The word for what is tracked, a target to begin with, and the metric as a policy specifies it."""
    word = deployment.scaled_by(variant)
    if word == "backlog":
        return (
            word,
            asynchronous.USUAL_BACKLOG,
            {"customized_metric_specification": asynchronous.tracking(endpoint.name)},
        )
    metric, usual_target = TRACKED[word]
    return word, usual_target, {"predefined_metric_specification": {"predefined_metric_type": metric}}


def adjustments(steps: Sequence[Step]) -> list[Adjustment]:
    """`steps`, which ascend, as intervals over the alarm's threshold, the first step's; the last has no upper bound."""
    first = steps[0].above
    bounds = [f"{step.above - first:g}" for step in steps]
    found: list[Adjustment] = [
        {"scaling_adjustment": step.add, "metric_interval_lower_bound": bound}
        for step, bound in zip(steps, bounds, strict=True)
    ]
    for adjustment, upper in zip(found, bounds[1:], strict=False):
        adjustment["metric_interval_upper_bound"] = upper
    return found
