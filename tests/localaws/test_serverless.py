"""Serverless endpoints as boto3 sees them: cold until they are asked, and never more at once than they take."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

BOUNDS = {"MemorySizeInMB": 2048, "MaxConcurrency": 1}


def configured(cloud: Any, model: str, **more: Any) -> str:
    name = cloud.name("config")
    settings = {"VariantName": "v", "ModelName": model, "ServerlessConfig": {**BOUNDS, **more.pop("bounds", {})}}
    cloud.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[settings | more])
    return str(name)


def together(cloud: Any, name: str) -> list[str]:
    """How each of four requests ended that were sent at once and take a while."""

    def ask(_: int) -> str:
        try:
            cloud.ask(name, "sleep 0.5")
        except ClientError as error:
            return f"{error.response['Error']['Code']} {error.response['ResponseMetadata']['HTTPStatusCode']}"
        return "done"

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(ask, range(4)))


def workers(cloud: Any) -> int:
    return sum(each["users"] for each in cloud.report()["workers"])


def test_an_endpoint_is_cold_until_it_is_asked(cloud: Any) -> None:
    name = cloud.endpoint(configured(cloud, cloud.model("warm now")))
    assert workers(cloud) == 0
    (summary,) = cloud.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert summary["CurrentServerlessConfig"] == BOUNDS
    assert "CurrentInstanceCount" not in summary
    assert cloud.ask(name) == "warm now"
    assert workers(cloud) == 1
    cloud.heard(name, "loading warm now")

    # One at a time: of several at once some are refused; there is room for more once it is configured.
    cloud.until(lambda: "ThrottlingException 429" in together(cloud, name))
    cloud.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "v", "ServerlessUpdateConfig": {"MaxConcurrency": 2}}],
    )
    (summary,) = cloud.settled(name)["ProductionVariants"]
    assert summary["CurrentServerlessConfig"] == {**BOUNDS, "MaxConcurrency": 2}
    cloud.delete(name)
    assert workers(cloud) == 0


def test_provisioned_concurrency_is_warm_and_scales(cloud: Any) -> None:
    name = cloud.endpoint(configured(cloud, cloud.model(), bounds={"MaxConcurrency": 4, "ProvisionedConcurrency": 2}))
    assert workers(cloud) == 1
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/v",
        "ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency",
    }
    cloud.scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
    instances = {**target, "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    error = cloud.refused(cloud.scaling.register_scalable_target, **instances, MinCapacity=1, MaxCapacity=4)
    assert "has no InstanceCount" in error["Error"]["Message"]


def test_a_container_that_cannot_start_fails_the_endpoint(cloud: Any) -> None:
    name = cloud.endpoint(configured(cloud, cloud.model(code="raise RuntimeError('no weights')")))
    described = cloud.settled(name)
    assert described["EndpointStatus"] == "Failed"
    assert "no weights" in described["FailureReason"]
    assert workers(cloud) == 0


@pytest.mark.parametrize(
    ("bounds", "variant", "config", "words"),
    [
        ({"MemorySizeInMB": 1500}, {}, {}, "MemorySizeInMB"),
        ({"MaxConcurrency": 201}, {}, {}, "less than or equal to 200"),
        ({"ProvisionedConcurrency": 2}, {}, {}, "less than or equal to MaxConcurrency"),
        ({}, {"VolumeSizeInGB": 5}, {}, "VolumeSizeInGB is not supported"),
        ({}, {}, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}}, "AsyncInferenceConfig"),
        (
            {},
            {},
            {
                "DataCaptureConfig": {
                    "InitialSamplingPercentage": 1,
                    "DestinationS3Uri": "s3://b/c",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "DataCaptureConfig",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_serverless_does_not_take(cloud: Any, bounds: Any, variant: Any, config: Any, words: str) -> None:
    asked = {"VariantName": "v", "ModelName": cloud.model(), "ServerlessConfig": {**BOUNDS, **bounds}, **variant}
    error = cloud.refused(
        cloud.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=[asked], **config
    )
    assert words in error["Error"]["Message"]


def test_one_variant_and_a_network_of_its_own(cloud: Any) -> None:
    model = cloud.model()
    two = [{"VariantName": name, "ModelName": model, "ServerlessConfig": BOUNDS} for name in ("a", "b")]
    error = cloud.refused(cloud.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=two)
    assert "one production variant" in error["Error"]["Message"]
    described = cloud.sagemaker.describe_model(ModelName=model)
    isolated = cloud.name("model")
    cloud.sagemaker.create_model(
        ModelName=isolated,
        ExecutionRoleArn=described["ExecutionRoleArn"],
        PrimaryContainer=described["PrimaryContainer"],
        EnableNetworkIsolation=True,
    )
    error = cloud.refused(
        cloud.sagemaker.create_endpoint_config,
        EndpointConfigName="c",
        ProductionVariants=[{**two[0], "ModelName": isolated}],
    )
    assert "EnableNetworkIsolation" in error["Error"]["Message"]


def test_an_endpoint_with_instances_does_not_become_serverless(cloud: Any) -> None:
    model = cloud.model()
    name = cloud.endpoint(cloud.config(model))
    serverless = configured(cloud, model)
    error = cloud.refused(cloud.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=serverless)
    assert "cannot be updated to a serverless one" in error["Error"]["Message"]
