"""Amazon SageMaker. Models and endpoint configurations are immutable: everything but tags replaces."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.core.naming import SAGEMAKER_NAME, SAGEMAKER_NAME_LENGTH
from cloudmodel.provider.rules.form import (
    TAGGED,
    Field,
    Name,
    Rule,
    block,
    blocks,
    flag,
    integer,
    mapping,
    number,
    text,
    texts,
)

ALLOWED = "letters, digits and '-', beginning and ending with a letter or digit"
DATA_SOURCE: Mapping[str, Field] = {
    "compressionType": text(required=True, choices=("None", "Gzip")),
    "s3DataType": text(required=True, choices=("S3Prefix", "S3Object")),
    "s3Uri": text(required=True),
    "modelAccessConfig": block({"acceptEula": flag(required=True)}),
}
CONTAINER: Mapping[str, Field] = {
    "additionalModelDataSources": blocks(
        {
            "channelName": text(required=True),
            "s3DataSources": blocks(DATA_SOURCE, required=True, single=True, aws="S3DataSource"),
        }
    ),
    "containerHostname": text(),
    "environment": mapping(),
    "image": text(),
    "imageConfig": block(
        {
            "repositoryAccessMode": text(required=True, choices=("Platform", "Vpc")),
            "repositoryAuthConfig": block({"repositoryCredentialsProviderArn": text(required=True)}),
        }
    ),
    "inferenceSpecificationName": text(),
    "mode": text(computed=True, choices=("SingleModel", "MultiModel")),
    "modelDataSource": block(
        {"s3DataSources": blocks(DATA_SOURCE, required=True, single=True, aws="S3DataSource")}, computed=True
    ),
    "modelDataUrl": text(computed=True),
    "modelPackageName": text(),
    "multiModelConfig": block({"modelCacheSetting": text(choices=("Enabled", "Disabled"))}),
}
VARIANT: Mapping[str, Field] = {
    "acceleratorType": text(),
    "capacityReservationConfig": block(
        {"capacityReservationPreference": text(), "mlReservationArn": text()}, computed=True
    ),
    "containerStartupHealthCheckTimeoutInSeconds": integer(),
    "coreDumpConfig": block({"destinationS3Uri": text(required=True), "kmsKeyId": text()}),
    "enableSsmAccess": flag(computed=True, aws="EnableSSMAccess"),
    "inferenceAmiVersion": text(computed=True),
    "initialInstanceCount": integer(),
    "initialVariantWeight": number(computed=True),
    "instanceType": text(),
    "managedInstanceScaling": block(
        {
            "maxInstanceCount": integer(),
            "minInstanceCount": integer(),
            "status": text(choices=("ENABLED", "DISABLED")),
        }
    ),
    "modelDataDownloadTimeoutInSeconds": integer(),
    "modelName": text(),
    "routingConfigs": blocks({"routingStrategy": text(required=True)}, single=True, computed=True, aws="RoutingConfig"),
    "serverlessConfig": block(
        {
            "maxConcurrency": integer(required=True),
            "memorySizeInMb": integer(required=True, aws="MemorySizeInMB"),
            "provisionedConcurrency": integer(),
        }
    ),
    "variantName": text(computed=True),
    "volumeSizeInGb": integer(computed=True, aws="VolumeSizeInGB"),
}
SHADOW: Mapping[str, Field] = {
    **VARIANT,
    "coreDumpConfig": block({"destinationS3Uri": text(required=True), "kmsKeyId": text(required=True)}),
}
CONFIGURATION: Mapping[str, Field] = {
    **TAGGED,
    "asyncInferenceConfig": block(
        {
            "outputConfig": block(
                {
                    "s3OutputPath": text(required=True),
                    "kmsKeyId": text(),
                    "notificationConfig": block(
                        {
                            "errorTopic": text(),
                            "includeInferenceResponseIns": texts(unordered=True, aws="IncludeInferenceResponseIn"),
                            "successTopic": text(),
                        }
                    ),
                    "s3FailurePath": text(computed=True),
                },
                required=True,
            ),
            "clientConfig": block({"maxConcurrentInvocationsPerInstance": integer()}, computed=True),
        },
        replaces=True,
    ),
    "dataCaptureConfig": block(
        {
            "captureOptions": blocks(
                {"captureMode": text(required=True, choices=("Input", "Output", "InputAndOutput"))}, required=True
            ),
            "destinationS3Uri": text(required=True),
            "initialSamplingPercentage": integer(required=True),
            "captureContentTypeHeader": block(
                {"csvContentTypes": texts(unordered=True), "jsonContentTypes": texts(unordered=True)}, computed=True
            ),
            "enableCapture": flag(),
            "kmsKeyId": text(),
        },
        replaces=True,
    ),
    "executionRoleArn": text(replaces=True),
    "kmsKeyArn": text(replaces=True, aws="KmsKeyId"),
    "name": text(replaces=True, aws="EndpointConfigName"),
    "namePrefix": text(replaces=True, local=True),
    "productionVariants": blocks(VARIANT, required=True, replaces=True),
    "shadowProductionVariants": blocks(SHADOW, replaces=True),
}
SIZE: Mapping[str, Field] = {
    "type": text(required=True, choices=("INSTANCE_COUNT", "CAPACITY_PERCENT")),
    "value": integer(required=True),
}
DEPLOYMENT: Mapping[str, Field] = {
    "autoRollbackConfiguration": block({"alarms": blocks({"alarmName": text(required=True)}, unordered=True)}),
    "blueGreenUpdatePolicy": block(
        {
            "trafficRoutingConfiguration": block(
                {
                    "type": text(required=True, choices=("ALL_AT_ONCE", "CANARY", "LINEAR")),
                    "waitIntervalInSeconds": integer(required=True),
                    "canarySize": block(SIZE),
                    "linearStepSize": block(SIZE),
                },
                required=True,
            ),
            "maximumExecutionTimeoutInSeconds": integer(computed=True),
            "terminationWaitInSeconds": integer(computed=True),
        }
    ),
    "rollingUpdatePolicy": block(
        {
            "maximumBatchSize": block(SIZE, required=True),
            "waitIntervalInSeconds": integer(required=True),
            "maximumExecutionTimeoutInSeconds": integer(computed=True),
            "rollbackMaximumBatchSize": block(SIZE, computed=True),
        }
    ),
}
NAME = SAGEMAKER_NAME.pattern

RULES: Mapping[str, Rule] = {
    "aws:sagemaker/model:Model": Rule(
        {
            **TAGGED,
            "containers": blocks(CONTAINER, replaces=True),
            "enableNetworkIsolation": flag(replaces=True),
            "executionRoleArn": text(required=True, replaces=True),
            "inferenceExecutionConfig": block(
                {"mode": text(required=True, choices=("Serial", "Direct"))}, replaces=True, computed=True
            ),
            "name": text(replaces=True, aws="ModelName"),
            "primaryContainer": block(CONTAINER, replaces=True),
            "vpcConfig": block(
                {
                    "securityGroupIds": texts(required=True, unordered=True),
                    "subnets": texts(required=True, unordered=True),
                },
                replaces=True,
            ),
        },
        outputs=("arn", "tagsAll"),
        name=Name("name", SAGEMAKER_NAME_LENGTH, NAME, ALLOWED),
    ),
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": Rule(
        CONFIGURATION,
        outputs=("arn", "tagsAll"),
        name=Name("name", SAGEMAKER_NAME_LENGTH, NAME, ALLOWED, prefix="namePrefix"),
    ),
    "aws:sagemaker/endpoint:Endpoint": Rule(
        {
            **TAGGED,
            "deploymentConfig": block(DEPLOYMENT),
            "endpointConfigName": text(required=True),
            "name": text(replaces=True, aws="EndpointName"),
        },
        outputs=("arn", "tagsAll"),
        name=Name("name", SAGEMAKER_NAME_LENGTH, NAME, ALLOWED),
    ),
}
