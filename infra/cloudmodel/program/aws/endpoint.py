"""Model, endpoint configuration and endpoint.

SageMaker changes neither a model nor a configuration: both are named by their content, a new one is made before the
endpoint switches to it and the old one is deleted after. The endpoint keeps its name and is updated in place.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program import names
from cloudmodel.program.aws.encryption import Encryption
from cloudmodel.program.aws.identity import Identity
from cloudmodel.program.aws.storage import Storage
from cloudmodel.program.deployment import VARIANT, Deployment

LOG_RETENTION_DAYS = {True: 365, False: 30}
"""By whether the stack is protected."""

ENTRY = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
"""Where the image finds the serving code. Set here because only AWS's own SDK sets it otherwise."""


class Endpoint(pulumi.ComponentResource):
    """`revision` names what is deployed: it changes with the bundle and with every property of its configuration."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self,
        deployment: Deployment,
        storage: Storage,
        identity: Identity,
        encryption: Encryption,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cloudmodel:aws:Endpoint", "serving", None, opts)
        settings = deployment.settings
        # Made before the endpoint, else SageMaker makes it, unencrypted and for ever.
        logs = aws.cloudwatch.LogGroup(
            "logs",
            name=deployment.log_group_name,
            retention_in_days=LOG_RETENTION_DAYS[settings.protect],
            kms_key_id=encryption.own_arn,
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        model_content = pulumi.Output.all(
            image=deployment.image.uri,
            model_data_url=storage.uri,
            environment=ENTRY | settings.environment,
            role=identity.arn,
            isolation=settings.network.isolation,
        )
        model = aws.sagemaker.Model(
            "model",
            name=model_content.apply(lambda content: names.by_content(deployment.name, content)),
            execution_role_arn=identity.arn,
            enable_network_isolation=settings.network.isolation,
            primary_container={
                "image": deployment.image.uri,
                "model_data_url": storage.uri,
                "environment": ENTRY | settings.environment,
            },
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[storage.bundle, *identity.ready]),
        )
        variant = _variant(deployment)
        # AWS encrypts local NVMe disks by itself, and refuses a key for such types.
        disk_key = None if deployment.machine.nvme else encryption.arn
        configuration = aws.sagemaker.EndpointConfiguration(
            "configuration",
            name=pulumi.Output.all(model=model.name, variant=variant, key=disk_key).apply(
                lambda content: names.by_content(deployment.name, content)
            ),
            kms_key_arn=disk_key,
            production_variants=[{**variant, "model_name": model.name}],
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        endpoint = aws.sagemaker.Endpoint(
            "endpoint",
            name=deployment.name,
            endpoint_config_name=configuration.name,
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs], protect=settings.protect),
        )
        self.name, self.arn = endpoint.name, endpoint.arn
        self.revision = configuration.name.apply(names.revision)
        self.register_outputs({"name": self.name, "arn": self.arn, "revision": self.revision})


def _variant(deployment: Deployment) -> aws.sagemaker.EndpointConfigurationProductionVariantArgsDict:
    settings = deployment.settings
    variant: aws.sagemaker.EndpointConfigurationProductionVariantArgsDict = {
        "variant_name": VARIANT,
        "instance_type": settings.instance,
        "initial_instance_count": settings.scaling.min,
        "initial_variant_weight": 1,
    }
    if settings.timeouts.startup is not None:
        variant["container_startup_health_check_timeout_in_seconds"] = settings.timeouts.startup
    if settings.timeouts.download is not None:
        variant["model_data_download_timeout_in_seconds"] = settings.timeouts.download
    return variant
