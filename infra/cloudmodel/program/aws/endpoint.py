"""Model, endpoint configuration and endpoint.

SageMaker changes neither a model nor a configuration: both are named by their content, a new one is made before the
endpoint switches to it and the old one is deleted after. The endpoint keeps its name and is updated in place.

The content is in the logical names too. Other content is another resource and not a replacement: when an update fails,
the old one is still a live resource of the stack, and going back to it is nothing but to name it again.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from cloudmodel.core.resource import UNKNOWN
from cloudmodel.program import names
from cloudmodel.program.aws import asynchronous, capture, rollout, serverless
from cloudmodel.program.aws.alarms import Alarms
from cloudmodel.program.aws.asynchronous import Queue
from cloudmodel.program.aws.encryption import Encryption
from cloudmodel.program.aws.identity import Identity
from cloudmodel.program.aws.network import Network
from cloudmodel.program.aws.storage import Storage
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.standing import Fleet, Standing
from cloudmodel.program.variant import Bundle, Variant

LOG_RETENTION_DAYS = {True: 365, False: 30}
"""By whether the stack is protected."""

Production = aws.sagemaker.EndpointConfigurationProductionVariantArgsDict
COUNT = "productionVariants[*].initialInstanceCount"


class Endpoint(pulumi.ComponentResource):
    """`revision` names what is deployed: it changes with the bundle and with every property of its configuration but
    an instance count that autoscaling decides. What is made of `machines` is gone while the endpoint changes them."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    revision: pulumi.Output[str]
    machines: pulumi.Output[Any]

    def __init__(
        self,
        deployment: Deployment,
        storage: Storage,
        identity: Identity,
        encryption: Encryption,
        alarms: Alarms,
        standing: Standing | None,
        network: Network | None,
        queue: Queue | None,
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
        loaded = {each.name: _loaded(deployment, each, network) for each in deployment.variants}
        models: dict[str, aws.sagemaker.Model] = {}
        for each in deployment.variants:
            digits = loaded[each.name]
            if digits in models:
                continue  # two variants of one bundle in one image
            models[digits] = aws.sagemaker.Model(
                f"model-{digits}",
                name=names.by_content(deployment.name, digits),
                execution_role_arn=identity.arn,
                enable_network_isolation=deployment.isolated,
                vpc_config=network.vpc_config if network else None,
                primary_container={
                    "image": each.image.uri,
                    **_model_data(each.bundle, storage.uris[each.bundle.digest]),
                    "environment": each.environment | settings.environment,
                },
                tags=deployment.tags,
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[*storage.bundles[each.bundle.digest], *identity.ready]
                ),
            )
        # AWS refuses to change the instance type of a variant that is registered for scaling. Replaced first, this
        # takes the registration down, the endpoint waits for it, and the registration waits for the endpoint.
        machines = pulumi.Stash(
            "machines",
            input=deployment.machines,
            opts=pulumi.ResourceOptions(parent=self, replace_on_changes=["input"], delete_before_replace=True),
        )
        production = {each.name: _production(deployment, each) for each in deployment.variants}
        disk_key = encryption.arn if deployment.volume_key else None
        captured = capture.configuration(deployment, storage.bucket, encryption.arn)
        capturing = {"capture": settings.capture.percent} if captured else {}
        content = [
            {"model": loaded[each.name], "variant": {**production[each.name], **_fixed(deployment, each)}}
            for each in deployment.variants
        ]
        revision = names.content(
            **(content[0] if len(content) == 1 else {"variants": content}),
            key=settings.key_arn,
            encrypted=disk_key is not None,
            **capturing,
            **asynchronous.content(deployment),
        )
        name = names.by_content(deployment.name, revision)
        fleets = {
            each.name: Fleet.of(each.scaling, each.name, name, standing if deployment.scales(each) else None)
            for each in deployment.variants
        }
        # Counts that scaling decides stay as they were made; those of a configuration that serves nobody are corrected.
        kept = any(map(deployment.scales, deployment.variants)) and not any(each.fresh for each in fleets.values())
        configuration = aws.sagemaker.EndpointConfiguration(
            f"configuration-{revision}",
            name=name,
            kms_key_arn=disk_key,
            data_capture_config=captured,
            async_inference_config=queue.configuration if queue else None,
            production_variants=[
                {
                    **production[each.name],
                    **_instances(deployment, fleets[each.name]),
                    "model_name": models[loaded[each.name]].name,
                }
                for each in deployment.variants
            ],
            tags=deployment.revision_tags(revision),
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=[*deployment.kept_tags, *([COUNT] if kept else [])]
            ),
        )
        endpoint = aws.sagemaker.Endpoint(
            "endpoint",
            name=deployment.name,
            endpoint_config_name=configuration.name,
            deployment_config=rollout.configuration(deployment, alarms.names),
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[logs, machines],
                protect=settings.protect,
                custom_timeouts=rollout.patience(settings.rollout),
            ),
        )
        self.name, self.arn, self.machines = endpoint.name, endpoint.arn, machines.output
        self.revision = pulumi.Output.from_input(revision)
        self.register_outputs({"name": self.name, "arn": self.arn, "revision": self.revision})


def _model_data(bundle: Bundle, uri: pulumi.Output[str]) -> aws.sagemaker.ModelPrimaryContainerArgsDict:
    """Where a container's files come from: an archive that SageMaker unpacks, or a large bundle's files as they are."""
    if not bundle.large:
        return {"model_data_url": uri}
    source: aws.sagemaker.ModelPrimaryContainerModelDataSourceS3DataSourceArgsDict = {
        "s3_uri": uri,
        "s3_data_type": "S3Prefix",
        "compression_type": "None",
    }
    return {"model_data_source": {"s3_data_sources": [source]}}


def _loaded(deployment: Deployment, variant: Variant, network: Network | None) -> str:
    """The digits of a model's content: what is loaded, in which image, as whom."""
    settings = deployment.settings
    return names.content(
        image=variant.image.uri,
        bucket=deployment.bucket_name,
        key=variant.bundle.object_key,
        environment=variant.environment | settings.environment,
        role=settings.existing.role,
        isolation=deployment.isolated,
        **({"network": settings.network.model_dump(mode="json")} if network else {}),
    )


def _production(deployment: Deployment, variant: Variant) -> Production:
    """A production variant without its model and its count."""
    if deployment.serverless:
        return serverless.variant(deployment)
    timeouts = deployment.settings.timeouts
    made: Production = {
        "variant_name": variant.name,
        "instance_type": variant.instance,
        "initial_variant_weight": variant.weight,
    }
    if timeouts.startup is not None:
        made["container_startup_health_check_timeout_in_seconds"] = timeouts.startup
    if timeouts.download is not None:
        made["model_data_download_timeout_in_seconds"] = timeouts.download
    return made


def _fixed(deployment: Deployment, variant: Variant) -> Production:
    """The size of a fleet that nothing changes, which is content of its configuration."""
    if deployment.serverless or deployment.scales(variant):
        return {}
    return {"initial_instance_count": variant.scaling.min}


def _instances(deployment: Deployment, fleet: Fleet) -> Production:
    """A plan does not know how many run when it is carried out: it is not bound to how many run now. Only whether a
    configuration that a failed update left behind can stay is a matter of how many run now, in plan and run alike."""
    if deployment.serverless:
        return {}
    if fleet.moves and not fleet.left and pulumi.runtime.is_dry_run():
        unknown: pulumi.Output[Any] = pulumi.Output.from_input(UNKNOWN)
        return {"initial_instance_count": unknown}
    return {"initial_instance_count": fleet.instances}
