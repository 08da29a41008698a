"""Models and endpoint configurations on moto; the endpoint's own time is in test_endpoint.py."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmodel.core.resource import DiffKind, ResourceFailure
from cloudmodel.provider.rules import RULES

MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
ROLE = "arn:aws:iam::123456789012:role/serving"


def model(**more: Any) -> dict[str, Any]:
    container = {"image": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/x:1", "modelDataUrl": "s3://b/k.tar.gz"}
    return {"executionRoleArn": ROLE, "primaryContainer": {**container, "environment": {"A": "1"}}, **more}


def configuration(model: str, **more: Any) -> dict[str, Any]:
    variant = {"modelName": model, "instanceType": "ml.m5.large", "initialInstanceCount": 1}
    return {"productionVariants": [{**variant, **more}]}


def test_a_model_from_create_to_delete(aws: Any) -> None:
    live = aws.create(MODEL, model(tags={"a": "b"}))
    assert live.outputs["arn"] == f"arn:aws:sagemaker:eu-west-1:123456789012:model/{live.id}"
    assert aws.read(MODEL, live) == live
    assert aws.find(MODEL, live.inputs) == live.id
    assert aws.diff(MODEL, live, model(tags={"a": "c"})).changes == {"tags.a": DiffKind.UPDATE}
    changed = aws.update(MODEL, live, model(tags={"a": "c"}))
    assert aws.read(MODEL, changed) == changed
    aws.delete(MODEL, changed)
    assert aws.read(MODEL, changed) is None
    assert aws.find(MODEL, live.inputs) is None
    aws.delete(MODEL, changed)


def test_a_model_without_tags_and_with_a_network(aws: Any) -> None:
    inputs = model(vpcConfig={"subnets": ["subnet-b", "subnet-a"], "securityGroupIds": ["sg-1"]})
    live = aws.create(MODEL, inputs)
    assert aws.read(MODEL, live) == live
    assert aws.diff(MODEL, live, inputs).changes == {}


def test_uncompressed_model_data_is_a_list_here_and_an_object_there(aws: Any) -> None:
    source = {"compressionType": "None", "s3DataType": "S3Prefix", "s3Uri": "s3://b/p/"}
    inputs = {
        "executionRoleArn": ROLE,
        "primaryContainer": {"image": "i", "modelDataSource": {"s3DataSources": [source]}},
    }
    live = aws.create(MODEL, inputs)
    found = aws.provider.read("urn", MODEL, live.id, {}, {})
    assert found.outputs["primaryContainer"]["modelDataSource"]["s3DataSources"] == [source]
    (failure,) = aws.check(
        MODEL, {**inputs, "primaryContainer": {"modelDataSource": {"s3DataSources": [source, source]}}}
    ).failures
    assert failure.property.endswith("s3DataSources") and "one object only" in failure.reason


@pytest.mark.parametrize(
    "change",
    [
        {"executionRoleArn": f"{ROLE}2"},
        {"primaryContainer": {"image": "other"}},
        {"enableNetworkIsolation": True},
        {"name": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_model_is_immutable_but_for_its_tags(aws: Any, change: dict[str, Any]) -> None:
    live = aws.create(MODEL, model())
    assert aws.diff(MODEL, live, {**model(), **change}).replaces


CONFIGURATIONS = [
    configuration("m", variantName="AllTraffic", containerStartupHealthCheckTimeoutInSeconds=600, volumeSizeInGb=5),
    configuration("m", routingConfigs=[{"routingStrategy": "RANDOM"}], initialVariantWeight=0.25),
    {"productionVariants": [{"modelName": "m", "serverlessConfig": {"memorySizeInMb": 2048, "maxConcurrency": 5}}]},
    {
        **configuration("m"),
        "kmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/k",
        "dataCaptureConfig": {
            "captureOptions": [{"captureMode": "Input"}, {"captureMode": "Output"}],
            "destinationS3Uri": "s3://b/capture",
            "initialSamplingPercentage": 5,
            "enableCapture": True,
        },
        "tags": {"a": "b"},
    },
    {**configuration("m"), "asyncInferenceConfig": {"outputConfig": {"s3OutputPath": "s3://b/out"}}},
]


@pytest.mark.parametrize("inputs", CONFIGURATIONS)
def test_a_configuration_from_create_to_delete(aws: Any, inputs: dict[str, Any]) -> None:
    aws.create(MODEL, model(name="m"))
    live = aws.create(CONFIGURATION, inputs)
    assert live.outputs["arn"] == f"arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/{live.id}"
    assert live.outputs["productionVariants"][0]["variantName"]
    assert aws.read(CONFIGURATION, live) == live
    assert aws.diff(CONFIGURATION, live, inputs).changes == {}
    assert aws.find(CONFIGURATION, live.inputs) == live.id
    tagged = aws.update(CONFIGURATION, live, {**inputs, "tags": {"x": "y"}})
    assert aws.read(CONFIGURATION, tagged) == tagged
    aws.delete(CONFIGURATION, tagged)
    assert aws.read(CONFIGURATION, tagged) is None
    aws.delete(CONFIGURATION, tagged)


@pytest.mark.parametrize("type", [MODEL, CONFIGURATION])
def test_every_property_but_tags_replaces(type: str) -> None:
    assert {name for name, each in RULES[type].fields.items() if not each.replaces} == {"tags"}


def test_a_fixed_configuration_name_is_deleted_first_and_an_automatic_one_created_first(aws: Any) -> None:
    aws.create(MODEL, model(name="m"))
    news = configuration("m", initialInstanceCount=2)
    automatic = aws.create(CONFIGURATION, configuration("m"))
    assert not aws.diff(CONFIGURATION, automatic, news).delete_before_replace
    fixed = aws.create(CONFIGURATION, {"name": "fixed", **configuration("m")})
    assert aws.diff(CONFIGURATION, fixed, {"name": "fixed", **news}).delete_before_replace


def test_an_endpoint_on_moto(aws: Any) -> None:
    aws.create(MODEL, model(name="m"))
    config = aws.create(CONFIGURATION, configuration("m")).id
    live = aws.create(ENDPOINT, {"endpointConfigName": config, "tags": {"a": "b"}})
    assert live.outputs["arn"] == f"arn:aws:sagemaker:eu-west-1:123456789012:endpoint/{live.id}"
    assert aws.read(ENDPOINT, live) == live
    assert aws.find(ENDPOINT, live.inputs) == live.id
    tagged = aws.update(ENDPOINT, live, {"endpointConfigName": config})
    assert aws.read(ENDPOINT, tagged) == tagged
    aws.delete(ENDPOINT, tagged)
    assert aws.read(ENDPOINT, tagged) is None
    aws.delete(ENDPOINT, tagged)


def test_an_endpoint_of_a_configuration_that_is_not_there_fails_readably(aws: Any) -> None:
    with pytest.raises(
        ResourceFailure, match="sagemaker CreateEndpoint: ValidationException: Could not find"
    ) as failure:
        aws.create(ENDPOINT, {"endpointConfigName": "nobody"})
    assert not failure.value.uncertain and failure.value.request
