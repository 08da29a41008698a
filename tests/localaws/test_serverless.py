"""Serverless endpoints as boto3 sees them: cold until they are asked, and never more at once than they take."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
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


def counted(cloud: Any, name: str, metric: str, statistic: str) -> list[float]:
    """The metric's statistic of each minute of the last hour that has one, the oldest first."""
    now = cloud.clock()
    points = cloud.cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName=metric, Period=60, Statistics=[statistic],
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "v"}],
        StartTime=datetime.fromtimestamp(now - 3600, UTC), EndTime=datetime.fromtimestamp(now, UTC),
    )["Datapoints"]  # fmt: skip
    return [each[statistic] for each in sorted(points, key=lambda each: each["Timestamp"])]


def test_an_endpoint_is_cold_until_it_is_asked(cloud: Any) -> None:
    name = cloud.endpoint(configured(cloud, cloud.model("warm now")))
    assert workers(cloud) == 0
    (summary,) = cloud.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert summary["CurrentServerlessConfig"] == BOUNDS
    assert "CurrentInstanceCount" not in summary
    assert cloud.ask(name) == "warm now"
    assert workers(cloud) == 1
    cloud.heard(name, "loading warm now")
    # The cold start is time of the platform, not of the model; a warm one has none.
    cloud.ask(name)
    (setup,), (model,) = counted(cloud, name, "ModelSetupTime", "Sum"), counted(cloud, name, "ModelLatency", "Maximum")
    assert counted(cloud, name, "ModelSetupTime", "SampleCount") == [1]
    assert model < setup <= sum(counted(cloud, name, "OverheadLatency", "Sum"))

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


def test_its_use_is_counted_and_tracked_and_sets_off_an_alarm(cloud: Any, tmp_path: Path) -> None:
    """A minute's most is its busiest moment, also where the request was over before anybody looked."""
    name = cloud.endpoint(configured(cloud, cloud.model(), bounds={"MaxConcurrency": 4, "ProvisionedConcurrency": 1}))
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/v",
        "ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency",
    }
    cloud.scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
    predefined = {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}
    cloud.scaling.put_scaling_policy(
        **target, PolicyName="warm", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 0.7, "PredefinedMetricSpecification": predefined},
    )  # fmt: skip
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/SageMaker", MetricName="ServerlessConcurrentExecutionsUtilization",
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "v"}],
        Statistic="Maximum", Period=60, EvaluationPeriods=5, DatapointsToAlarm=3, Threshold=0.4,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip

    def used() -> list[float]:
        return counted(cloud, name, "ServerlessConcurrentExecutionsUtilization", "Maximum")

    def alarm() -> str:
        (found,) = cloud.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    cloud.ask(name)
    cloud.clock(forward=60)
    cloud.until(lambda: 0.25 in used())
    assert max(used()) == 0.25
    cloud.clock(forward=600)
    cloud.until(lambda: used()[-9:] == [0.0] * 9)
    assert alarm() == "OK"

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(cloud.ask, name, str(tmp_path / "gate")) for _ in range(2)]
        cloud.until(lambda: bool(cloud.clock(forward=60)) and alarm() == "ALARM")
        cloud.until(lambda: bool(cloud.clock(forward=60)) and warm(cloud, name) == 3)
        (tmp_path / "gate").touch()
        assert [each.result() for each in held] == ["one", "one"]
    assert max(counted(cloud, name, "ServerlessProvisionedConcurrencyExecutions", "Maximum")) == 2
    assert max(counted(cloud, name, "ServerlessProvisionedConcurrencyUtilization", "Maximum")) == 2.0


def warm(cloud: Any, name: str) -> int:
    (summary,) = cloud.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    return int(summary["CurrentServerlessConfig"]["ProvisionedConcurrency"])


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
