"""Target tracking on the endpoint's variant."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program.aws.endpoint import Endpoint
from cloudmodel.program.deployment import VARIANT, Deployment

METRICS = {
    "invocations": ("SageMakerVariantInvocationsPerInstance", 1000.0),
    "concurrency": ("SageMakerVariantConcurrentRequestsPerModelHighResolution", 4.0),
}
"""By the setting's word: the predefined metric, and a target per instance to begin with. The first counts per minute;
both are to be measured: requests a second that one instance bears, times 60, times 0.5."""


class Autoscaling(pulumi.ComponentResource):
    """Keeps the metric near its target by changing the number of instances between min and max."""

    def __init__(self, deployment: Deployment, endpoint: Endpoint, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cloudmodel:aws:Autoscaling", "autoscaling", None, opts)
        scaling = deployment.settings.scaling
        metric, usual_target = METRICS[scaling.metric]
        target = aws.appautoscaling.Target(
            "scaling-target",
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            resource_id=pulumi.Output.concat("endpoint/", endpoint.name, f"/variant/{VARIANT}"),
            min_capacity=scaling.min,
            max_capacity=scaling.max,
            # The endpoint must stand, whatever its name says.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[endpoint]),
        )
        aws.appautoscaling.Policy(
            "scaling-policy",
            name=f"{deployment.name}-{scaling.metric}",
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration={
                "predefined_metric_specification": {"predefined_metric_type": metric},
                "target_value": scaling.target or usual_target,
                "scale_in_cooldown": scaling.scale_in_cooldown,
                "scale_out_cooldown": scaling.scale_out_cooldown,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
