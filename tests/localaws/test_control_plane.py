"""Control-plane calls that AWS refuses and moto takes, and answers that moto gets wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudmodel.localaws.mending import applies

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/serve:1"


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"ModelName": "bad_name!!"}, "at 'modelName' failed to satisfy constraint: Member must satisfy regular"),
        ({"ModelName": "x" * 64}, "Member must have length less than or equal to 63"),
        ({"ExecutionRoleArn": "junk-that-is-no-arn-at-all"}, "at 'executionRoleArn' failed to satisfy constraint"),
        ({"ExecutionRoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Could not assume role"),
        ({"PrimaryContainer": {"Image": "???", "ModelDataUrl": "URL"}}, "Invalid image URI"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://nowhere/x"}}, "Could not find model data at s3:"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "ftp://x"}}, "at 'primaryContainer.modelDataUrl'"),
        (
            {"PrimaryContainer": {"Image": IMAGE, "Environment": {"A": "x" * 1025}}},
            "at 'primaryContainer.environment.A.member' failed to satisfy constraint",
        ),
        ({"Containers": [{"Image": IMAGE}]}, "Exactly one of PrimaryContainer and Containers"),
        ({"Tags": [{"Key": "a", "Value": "<"}]}, "at 'tags.1.member.value'"),
    ],
)
def test_models_that_aws_refuses(cloud: Any, change: dict[str, Any], fragment: str) -> None:
    url = cloud.upload(b"x")
    request = {
        "ModelName": cloud.name("model"),
        "ExecutionRoleArn": cloud.role(),
        "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": url},
        **json.loads(json.dumps(change).replace("URL", url)),
    }
    error = cloud.refused(cloud.sagemaker.create_model, **request)
    assert error["Error"]["Code"] == "ValidationException"
    assert fragment in error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_role_that_sagemaker_may_not_assume(cloud: Any) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    }
    error = cloud.refused(
        cloud.sagemaker.create_model,
        ModelName=cloud.name("model"),
        ExecutionRoleArn=cloud.role(trust),
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": cloud.upload(b"x")},
    )
    assert "allows principal 'sagemaker.amazonaws.com' to assume the role" in error["Error"]["Message"]


def test_a_model_reads_back_as_it_was_made(cloud: Any) -> None:
    name = cloud.model(Environment={"A": "b"})
    described = cloud.sagemaker.describe_model(ModelName=name)
    assert "VpcConfig" not in described
    assert described["EnableNetworkIsolation"] is False
    assert described["PrimaryContainer"]["Environment"] == {"A": "b"}
    assert "Containers" not in described
    again = cloud.refused(
        cloud.sagemaker.create_model,
        ModelName=name,
        ExecutionRoleArn=described["ExecutionRoleArn"],
        PrimaryContainer=described["PrimaryContainer"],
    )
    assert "Cannot create already existing model" in again["Error"]["Message"]
    isolated = cloud.name("model")
    network = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    cloud.sagemaker.create_model(
        ModelName=isolated,
        ExecutionRoleArn=described["ExecutionRoleArn"],
        Containers=[described["PrimaryContainer"]],
        EnableNetworkIsolation=True,
        VpcConfig=network,
    )
    described = cloud.sagemaker.describe_model(ModelName=isolated)
    assert (described["EnableNetworkIsolation"], described["VpcConfig"]) == (True, network)
    assert "PrimaryContainer" not in described


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"InstanceType": "ml.imaginary.large"}, "'productionVariants.1.member.instanceType' failed to satisfy"),
        ({"VariantName": "with_underscore"}, "at 'productionVariants.1.member.variantName'"),
        ({"VolumeSizeInGB": 513}, "Member must have value less than or equal to 512"),
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"ManagedInstanceScaling": {"Status": "ENABLED"}}, "only supported for inference component endpoints"),
        ({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}, "only one is allowed"),
    ],
)
def test_configurations_that_aws_refuses(cloud: Any, change: dict[str, Any], fragment: str) -> None:
    variant = {
        "VariantName": "v",
        "ModelName": cloud.model(),
        "InstanceType": "ml.c7i.large",
        "InitialInstanceCount": 1,
        **change,
    }
    error = cloud.refused(
        cloud.sagemaker.create_endpoint_config, EndpointConfigName=cloud.name("config"), ProductionVariants=[variant]
    )
    assert error["Error"]["Code"] == "ValidationException"
    assert fragment in error["Error"]["Message"]


@pytest.mark.parametrize("instance", ["ml.c7i.large", "ml.c8g.medium", "ml.g6e.xlarge", "ml.m5.large"])
def test_present_instance_types_are_known(cloud: Any, instance: str) -> None:
    name = cloud.config(cloud.model(), InstanceType=instance)
    described = cloud.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert described["ProductionVariants"][0]["InstanceType"] == instance


def test_a_configuration_reads_back_as_it_was_made(cloud: Any) -> None:
    model = cloud.model()
    name = cloud.config(model, InitialVariantWeight=0.8999999761581421)
    described = cloud.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert described["ProductionVariants"][0]["InitialVariantWeight"] == 0.9
    assert "DataCaptureConfig" not in described
    assert (
        "Cannot create already existing endpoint configuration"
        in (
            cloud.refused(
                cloud.sagemaker.create_endpoint_config,
                EndpointConfigName=name,
                ProductionVariants=described["ProductionVariants"],
            )["Error"]["Message"]
        )
    )
    shadowed = cloud.name("config")
    first, second = ({**described["ProductionVariants"][0], "VariantName": part} for part in ("main", "shadow"))
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 10,
        "DestinationS3Uri": "s3://bucket/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    cloud.sagemaker.create_endpoint_config(
        EndpointConfigName=shadowed,
        ProductionVariants=[first],
        ShadowProductionVariants=[second],
        DataCaptureConfig=capture,
    )
    described = cloud.sagemaker.describe_endpoint_config(EndpointConfigName=shadowed)
    assert described["ShadowProductionVariants"][0]["VariantName"] == "shadow"
    assert described["DataCaptureConfig"] == capture


def test_tags_are_replaced_by_key(cloud: Any) -> None:
    arn = cloud.sagemaker.describe_model(ModelName=cloud.model())["ModelArn"]
    cloud.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    cloud.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    cloud.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert cloud.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    missing = cloud.refused(cloud.sagemaker.list_tags, ResourceArn=f"{arn}-nobody")
    assert "Could not find resource" in missing["Error"]["Message"]


def test_a_bucket_that_wants_tls_takes_objects(cloud: Any) -> None:
    bucket = cloud.upload(b"before").split("/")[2]
    deny = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    cloud.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(deny))
    cloud.s3.put_object(Bucket=bucket, Key="after", Body=b"after")
    assert cloud.s3.get_object(Bucket=bucket, Key="after")["Body"].read() == b"after"
    del deny["Statement"][0]["Condition"]  # type: ignore[attr-defined]
    cloud.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(deny))
    error = cloud.refused(cloud.s3.put_object, Bucket=bucket, Key="never", Body=b"x")
    assert error["Error"]["Code"] == "AccessDenied"


@pytest.mark.parametrize(
    ("condition", "applied"),
    [
        ({}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"Bool": {"aws:SecureTransport": True}}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, False),
        ({"StringEquals": {"aws:SourceAccount": ["1", "2"]}}, True),
        ({"StringEquals": {"aws:SourceAccount": "1"}}, False),
        ({"StringNotEquals": {"aws:SourceAccount": "1"}, "Bool": {"aws:SecureTransport": "true"}}, True),
        ({"StringLike": {"aws:SourceAccount": "?"}}, True),
        ({"StringEquals": {"aws:Unheard": "x"}}, False),
    ],
)
def test_conditions_of_policies(condition: dict[str, Any], applied: bool) -> None:
    assert applies(condition, {"aws:SourceAccount": "2"}) is applied


@pytest.mark.parametrize(
    ("service", "call", "parameters", "code"),
    [
        ("sagemaker", "list_inference_components", {}, "UnknownOperationException"),
        ("application-autoscaling", "get_predictive_scaling_forecast", None, "ValidationException"),
        ("iam", "simulate_custom_policy", {"PolicyInputList": ["{}"], "ActionNames": ["s3:x"]}, "UnknownOperation"),
        ("cloudwatch", "describe_alarm_history", {}, "UnknownOperation"),
        ("service-quotas", "list_aws_default_service_quotas", {"ServiceCode": "sagemaker"}, ""),
        ("s3", "list_bucket_analytics_configurations", {"Bucket": "endpoints-of-mine"}, ""),
        ("polly", "list_speech_synthesis_tasks", {}, "UnknownOperation"),
    ],
)
def test_calls_that_nobody_does_are_errors_that_sdks_show(
    cloud: Any, service: str, call: str, parameters: dict[str, Any] | None, code: str
) -> None:
    if parameters is None:
        from datetime import UTC, datetime

        parameters = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "r",
            "ScalableDimension": "nobody",
            "PolicyName": "p",
            "StartTime": datetime.now(UTC),
            "EndTime": datetime.now(UTC),
        }
    error = cloud.refused(getattr(cloud.client(service), call), **parameters)
    assert error["Error"]["Code"].startswith(code)
    assert error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] < 500 or error["Error"]["Code"] == "NotImplemented"


def test_a_region_is_its_own_cloud(cloud: Any) -> None:
    import boto3

    name = cloud.endpoint(cloud.config(cloud.model()))
    elsewhere = boto3.client(
        "sagemaker",
        endpoint_url=cloud.running.endpoint_url,
        region_name="us-west-2",
        aws_access_key_id="other",
        aws_secret_access_key="other",
    )
    assert elsewhere.list_endpoints()["Endpoints"] == []
    assert [entry["EndpointName"] for entry in cloud.sagemaker.list_endpoints()["Endpoints"]] == [name]


def test_a_log_group_takes_another_key_and_none(cloud: Any) -> None:
    name = cloud.name("group")
    cloud.logs.create_log_group(logGroupName=name)

    def key() -> str | None:
        (found,) = cloud.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return str(found["kmsKeyId"]) if "kmsKeyId" in found else None

    cloud.logs.associate_kms_key(logGroupName=name, kmsKeyId=f"arn:aws:kms:{cloud.REGION}:123456789012:key/one")
    assert key() == f"arn:aws:kms:{cloud.REGION}:123456789012:key/one"
    cloud.logs.disassociate_kms_key(logGroupName=name)
    assert key() is None
    error = cloud.refused(cloud.logs.disassociate_kms_key, logGroupName="nobody")
    assert error["Error"]["Code"] == "ResourceNotFoundException"


@pytest.mark.parametrize("first", ["Versions", "DeleteMarkers"])
def test_a_bucket_is_emptied_of_versions_and_markers_in_any_order(cloud: Any, first: str) -> None:
    bucket = cloud.name("versioned")
    cloud.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": cloud.REGION})
    cloud.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    cloud.s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    cloud.s3.delete_object(Bucket=bucket, Key="key")
    listed = cloud.s3.list_object_versions(Bucket=bucket)
    groups = sorted(("Versions", "DeleteMarkers"), key=lambda group: group != first)
    for entry in [entry for group in groups for entry in listed[group]]:
        named = {"Key": entry["Key"], "VersionId": entry["VersionId"]}
        assert cloud.s3.delete_objects(Bucket=bucket, Delete={"Objects": [named]})["Deleted"]
    cloud.s3.delete_bucket(Bucket=bucket)
