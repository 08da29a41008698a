"""Model, endpoint configuration and endpoint.

SageMaker changes neither a model nor a configuration: both are named by their content, a new one is made before the
endpoint switches to it and the old one is deleted after. The endpoint keeps its name and is updated in place.

The content is in the logical names too. Other content is another resource and not a replacement: when an update fails,
the old one is still a live resource of the stack, and going back to it is nothing but to name it again.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program import names
from cloudmodel.program.aws import capture, rollout
from cloudmodel.program.aws.alarms import Alarms
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
        alarms: Alarms,
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
        environment = ENTRY | settings.environment
        loaded = names.content(
            image=deployment.image.uri,
            bucket=deployment.bucket_name,
            key=deployment.object_key,
            environment=environment,
            role=settings.existing.role,
            isolation=settings.network.isolation,
        )
        model = aws.sagemaker.Model(
            f"model-{loaded}",
            name=names.by_content(deployment.name, loaded),
            execution_role_arn=identity.arn,
            enable_network_isolation=settings.network.isolation,
            primary_container={
                "image": deployment.image.uri,
                "model_data_url": storage.uri,
                "environment": environment,
            },
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[storage.bundle, *identity.ready]),
        )
        variant = _variant(deployment)
        # AWS encrypts local NVMe disks by itself, and refuses a key for such types.
        disk_key = None if deployment.machine.nvme else encryption.arn
        captured = capture.configuration(deployment, storage.bucket, encryption.arn)
        capturing = {"capture": settings.capture.percent} if captured else {}
        revision = names.content(
            model=loaded, variant=variant, key=settings.key_arn, encrypted=disk_key is not None, **capturing
        )
        configuration = aws.sagemaker.EndpointConfiguration(
            f"configuration-{revision}",
            name=names.by_content(deployment.name, revision),
            kms_key_arn=disk_key,
            data_capture_config=captured,
            production_variants=[{**variant, "model_name": model.name}],
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        endpoint = aws.sagemaker.Endpoint(
            "endpoint",
            name=deployment.name,
            endpoint_config_name=configuration.name,
            deployment_config=rollout.configuration(deployment, alarms.names),
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[logs],
                protect=settings.protect,
                custom_timeouts=rollout.patience(settings.rollout),
            ),
        )
        self.name, self.arn = endpoint.name, endpoint.arn
        self.revision = pulumi.Output.from_input(revision)
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
