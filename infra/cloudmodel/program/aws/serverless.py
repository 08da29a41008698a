"""A variant without instances, and how many of it are kept warm."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program.deployment import Deployment
from cloudmodel.settings.variants import MAIN


def variant(deployment: Deployment) -> aws.sagemaker.EndpointConfigurationProductionVariantArgsDict:
    """The production variant of a serverless endpoint, without its model."""
    serverless = deployment.settings.serverless
    bounds: aws.sagemaker.EndpointConfigurationProductionVariantServerlessConfigArgsDict = {
        "memory_size_in_mb": serverless.memory,
        "max_concurrency": serverless.max_concurrency,
    }
    if serverless.provisioned is not None:
        bounds["provisioned_concurrency"] = serverless.provisioned
    return {"variant_name": MAIN, "serverless_config": bounds, "initial_variant_weight": 1}


class Provisioned(pulumi.ComponentResource):
    """Keeps as many warm as are used, between `provisioned` and `provisioned_max`. `name` is the endpoint's."""

    def __init__(
        self,
        deployment: Deployment,
        endpoint: pulumi.Resource,
        name: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cloudmodel:aws:Provisioned", "provisioned", None, opts)
        settings = deployment.settings
        assert settings.serverless.provisioned is not None and settings.serverless.provisioned_max is not None
        target = aws.appautoscaling.Target(
            "provisioned-target",
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredProvisionedConcurrency",
            resource_id=pulumi.Output.concat("endpoint/", name, f"/variant/{MAIN}"),
            min_capacity=settings.serverless.provisioned,
            max_capacity=settings.serverless.provisioned_max,
            tags=deployment.tags | deployment.identity_tag("aws:appautoscaling/target:Target", "provisioned-target"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[endpoint]),
        )
        aws.appautoscaling.Policy(
            "provisioned-policy",
            name=f"{deployment.name}-provisioned",
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration={
                "predefined_metric_specification": {
                    "predefined_metric_type": "SageMakerVariantProvisionedConcurrencyUtilization"
                },
                "target_value": settings.serverless.utilization,
                "scale_in_cooldown": settings.scaling.scale_in_cooldown,
                "scale_out_cooldown": settings.scaling.scale_out_cooldown,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
