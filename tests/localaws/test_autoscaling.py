"""Application Auto Scaling on endpoints."""

from __future__ import annotations

from typing import Any

import pytest

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TRACKING = {
    "TargetValue": 100.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}


class Scaled:
    """An endpoint and the calls on its one variant."""

    def __init__(self, cloud: Any, **settings: Any) -> None:
        self.cloud = cloud
        self.config = cloud.config(cloud.model(), **settings)
        self.name = cloud.endpoint(self.config)
        self.target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.name}/variant/v0",
            "ScalableDimension": DIMENSION,
        }

    def register(self, least: int = 1, most: int = 2, **more: Any) -> str:
        made = self.cloud.scaling.register_scalable_target(**self.target, MinCapacity=least, MaxCapacity=most, **more)
        return str(made["ScalableTargetARN"])

    def policy(self) -> None:
        self.cloud.scaling.put_scaling_policy(
            **self.target,
            PolicyName="follow",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=TRACKING,
        )

    def standing(self) -> tuple[int, int]:
        targets = self.cloud.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        policies = self.cloud.scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        return len(targets), len(policies)


def test_a_target_and_its_policy_go_together(cloud: Any) -> None:
    scaled = Scaled(cloud)
    scaled.register()
    scaled.policy()
    assert scaled.standing() == (1, 1)
    (target,) = cloud.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    assert cloud.scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"] == []
    cloud.scaling.deregister_scalable_target(**scaled.target)
    assert scaled.standing() == (0, 0)
    error = cloud.refused(cloud.scaling.deregister_scalable_target, **scaled.target)
    assert error["Error"]["Code"] == "ObjectNotFoundException"


def test_the_end_of_the_endpoint_is_the_end_of_its_targets(cloud: Any) -> None:
    scaled = Scaled(cloud)
    scaled.register()
    scaled.policy()
    cloud.delete(scaled.name)
    assert scaled.standing() == (0, 0)


def test_a_policy_is_found_by_its_name(cloud: Any) -> None:
    scaled = Scaled(cloud)
    scaled.register()
    scaled.policy()
    step = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": [{"ScalingAdjustment": 1}]}
    cloud.scaling.put_scaling_policy(
        **scaled.target, PolicyName="wake", PolicyType="StepScaling", StepScalingPolicyConfiguration=step
    )
    for name in ("follow", "wake"):
        (found,) = cloud.scaling.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=[name])[
            "ScalingPolicies"
        ]
        assert found["PolicyName"] == name
    assert scaled.standing() == (1, 2)


def test_a_policy_needs_a_target(cloud: Any) -> None:
    scaled = Scaled(cloud)
    with pytest.raises(cloud.scaling.exceptions.ObjectNotFoundException):
        scaled.policy()
    error = cloud.refused(cloud.scaling.delete_scaling_policy, **scaled.target, PolicyName="follow")
    assert error["Error"]["Code"] == "ObjectNotFoundException"


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"ResourceId": "endpoint/nobody/variant/v0"}, "Could not find an endpoint and variant"),
        ({"ResourceId": "junk"}, "Could not find an endpoint and variant"),
        ({"MinCapacity": 3}, "Maximum capacity cannot be less than minimum capacity"),
        ({"ScalableDimension": "sagemaker:variant:Nothing"}, "Member must satisfy enum value set"),
    ],
)
def test_targets_that_aws_refuses(cloud: Any, change: dict[str, Any], fragment: str) -> None:
    scaled = Scaled(cloud)
    request = {**scaled.target, "MinCapacity": 1, "MaxCapacity": 2, **change}
    error = cloud.refused(cloud.scaling.register_scalable_target, **request)
    assert error["Error"]["Code"] == "ValidationException"
    assert fragment in error["Error"]["Message"]
    assert scaled.standing() == (0, 0)


def test_burstable_instances_cannot_be_scaled(cloud: Any) -> None:
    scaled = Scaled(cloud, InstanceType="ml.t2.medium")
    with pytest.raises(cloud.scaling.exceptions.ValidationException, match=r"ml\.t2\.medium"):
        scaled.register()


def test_registering_again_changes_what_is_given(cloud: Any) -> None:
    scaled = Scaled(cloud)
    arn = scaled.register()
    changed = cloud.scaling.register_scalable_target(**scaled.target, MaxCapacity=5)
    assert changed["ScalableTargetARN"] == arn
    (target,) = cloud.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 5)


def test_tags_of_a_target(cloud: Any) -> None:
    scaled = Scaled(cloud)
    arn = scaled.register(Tags={"a": "1"})
    cloud.scaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    assert cloud.scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"a": "1", "b": "2"}
    cloud.scaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert cloud.scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "2"}


def test_a_scaled_variant_keeps_its_instance_type(cloud: Any) -> None:
    scaled = Scaled(cloud)
    scaled.register()
    model = cloud.sagemaker.describe_endpoint_config(EndpointConfigName=scaled.config)["ProductionVariants"][0]
    bigger = cloud.config(model["ModelName"], InstanceType="ml.c7i.xlarge")
    error = cloud.refused(cloud.sagemaker.update_endpoint, EndpointName=scaled.name, EndpointConfigName=bigger)
    assert "must be deregistered" in error["Error"]["Message"]
    same = cloud.config(cloud.model("other"))
    cloud.sagemaker.update_endpoint(EndpointName=scaled.name, EndpointConfigName=same)
    assert cloud.settled(scaled.name)["EndpointConfigName"] == same
    cloud.scaling.deregister_scalable_target(**scaled.target)
    cloud.sagemaker.update_endpoint(EndpointName=scaled.name, EndpointConfigName=bigger)
    assert cloud.settled(scaled.name)["EndpointConfigName"] == bigger
