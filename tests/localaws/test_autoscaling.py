"""Application Auto Scaling on endpoints."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

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

    def activity(self) -> list[Any]:
        """What Application Auto Scaling did, newest first."""
        found = self.cloud.scaling.describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=self.target["ResourceId"]
        )
        return list(found["ScalingActivities"])

    def activities(self) -> list[str]:
        return [f"{each['Description']} {each['Cause']}" for each in self.activity()]

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
    assert scaled.activities() == []
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


class Moving(Scaled):
    """The same, with the clock standing still: tests put it forward by whole minutes."""

    def __init__(self, cloud: Any, **settings: Any) -> None:
        now = cloud.clock(speed=0)
        cloud.clock(forward=60 - now % 60 + 1)  # a second into a minute
        super().__init__(cloud, **settings)

    def minute(self, requests: int = 0) -> None:
        """A minute in which the endpoint is asked so often."""
        for _ in range(requests):
            self.cloud.ask(self.name)
        self.cloud.clock(forward=60)

    def track(self, target: float, **more: Any) -> None:
        self.cloud.scaling.put_scaling_policy(
            **self.target,
            PolicyName="follow",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": target, **more},
        )

    def instances(self) -> int:
        """How many the endpoint has; -1 where a change began since it was looked at."""
        (variant,) = self.cloud.settled(self.name)["ProductionVariants"]
        now, wanted = variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]
        return int(now) if now == wanted else -1

    def becomes(self, instances: int) -> None:
        self.cloud.until(lambda: self.instances() == instances)


def test_tracking_follows_what_each_instance_is_asked(cloud: Any) -> None:
    scaled = Moving(cloud)
    scaled.register(1, 4)
    scaled.track(2.0, ScaleOutCooldown=0, ScaleInCooldown=0)
    for _ in range(2):
        scaled.minute(requests=6)
    scaled.minute()  # without data: it says nothing
    assert scaled.instances() == 1
    for _ in range(3):
        scaled.minute(requests=6)
    scaled.becomes(3)
    assert scaled.activities() == ["Setting desired instance count to 3. the policy follow"]

    # Fifteen quiet minutes take away again; fourteen do not.
    for _ in range(14):
        scaled.minute(requests=1)
    assert scaled.instances() == 3
    for _ in range(15):
        scaled.minute(requests=1)
    scaled.becomes(1)
    assert len(scaled.activities()) == 2


class Held:
    """So many requests that are with an endpoint's model all the time; those that time out are sent again."""

    def __init__(self, scaled: Scaled, count: int, gate: Path) -> None:
        self._scaled, self._gate = scaled, gate
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._gate.touch()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._gate.exists():
            with contextlib.suppress(ClientError):
                self._scaled.cloud.ask(self._scaled.name, str(self._gate))


def test_tracking_follows_concurrency_in_steps_of_ten_seconds(cloud: Any, tmp_path: Path) -> None:
    scaled = Moving(cloud)
    scaled.register(1, 5)
    predefined = {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
    scaled.track(2.0, ScaleOutCooldown=0, ScaleInCooldown=0, PredefinedMetricSpecification=predefined)

    def seen(statistic: str, period: int, seconds: float) -> list[float]:
        """The metric's statistic of each period of so many last seconds, the oldest first."""
        now = cloud.clock()
        points = cloud.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName="ConcurrentRequestsPerModel", Period=period, Statistics=[statistic],
            Dimensions=[{"Name": "EndpointName", "Value": scaled.name}, {"Name": "VariantName", "Value": "v0"}],
            StartTime=datetime.fromtimestamp(now - seconds, UTC), EndTime=datetime.fromtimestamp(now, UTC),
        )["Datapoints"]  # fmt: skip
        return [each[statistic] for each in sorted(points, key=lambda each: each["Timestamp"])]

    with Held(scaled, 6, tmp_path / "gate"):
        cloud.until(lambda: bool(cloud.clock(forward=10)) and 6.0 in seen("Maximum", 10, 20))
        first = cloud.clock()
        cloud.until(lambda: cloud.clock(forward=10) - first > 120 or scaled.instances() == 3)
        assert scaled.activities() == ["Setting desired instance count to 3. the policy follow"]
        assert scaled.activity()[0]["StartTime"].timestamp() - first < 60, "three times ten seconds, not three minutes"
        cloud.until(lambda: bool(cloud.clock(forward=10)) and seen("Maximum", 10, 11)[-1] == 2.0)
    # It takes away as slowly as others do.
    for _ in range(14):
        scaled.minute()
    assert scaled.instances() == 3
    cloud.until(lambda: bool(cloud.clock(forward=60)) and scaled.instances() == 1)
    assert seen("Average", 60, 120) == [0.0, 0.0]


def test_a_cooldown_is_waited_for_and_the_bound_is_kept(cloud: Any) -> None:
    scaled = Moving(cloud)
    scaled.register(1, 3)
    scaled.track(1.0, ScaleOutCooldown=600)
    for _ in range(3):
        scaled.minute(requests=2)
    scaled.becomes(2)
    for _ in range(4):
        scaled.minute(requests=12)
    assert scaled.instances() == 2
    for _ in range(6):
        scaled.minute(requests=12)
    scaled.becomes(3)


def test_schedules_move_the_bounds_and_the_count_into_them(cloud: Any) -> None:
    scaled = Moving(cloud)
    scaled.register(1, 2)
    at = datetime.fromtimestamp(cloud.clock(), UTC) + timedelta(minutes=5)
    actions = {
        "once": (f"at({at:%Y-%m-%dT%H:%M:00})", {"MinCapacity": 3, "MaxCapacity": 6}),
        "daily": (f"cron({at.minute} {(at + timedelta(hours=3)).hour} * * ? *)", {"MinCapacity": 1, "MaxCapacity": 2}),
    }
    for name, (schedule, bounds) in actions.items():
        cloud.scaling.put_scheduled_action(
            **scaled.target, ScheduledActionName=name, Schedule=schedule, ScalableTargetAction=bounds
        )
    cloud.clock(forward=240)
    assert scaled.instances() == 1
    cloud.clock(forward=60)
    scaled.becomes(3)
    (target,) = cloud.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (3, 6)
    cloud.clock(forward=3 * 3600)
    scaled.becomes(2)


def test_an_alarm_adds_the_steps_of_its_policy(cloud: Any) -> None:
    scaled = Moving(cloud)
    scaled.register(1, 9)
    steps = [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 4},
    ]
    policy = cloud.scaling.put_scaling_policy(
        **scaled.target, PolicyName="sudden", PolicyType="StepScaling",
        StepScalingPolicyConfiguration={"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "Cooldown": 0},
    )["PolicyARN"]  # fmt: skip
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=cloud.name("alarm"), Namespace="Own", MetricName=scaled.name, Period=60, Statistic="Sum",
        EvaluationPeriods=1, Threshold=5.0, ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching", AlarmActions=[policy],
    )  # fmt: skip
    for value, instances in ((7.0, 2), (20.0, 6), (1.0, 6)):
        cloud.cloudwatch.put_metric_data(Namespace="Own", MetricData=[{"MetricName": scaled.name, "Value": value}])
        scaled.minute()
        scaled.becomes(instances)
    suspended = {"DynamicScalingOutSuspended": True}
    cloud.scaling.register_scalable_target(**scaled.target, SuspendedState=suspended)
    cloud.cloudwatch.put_metric_data(Namespace="Own", MetricData=[{"MetricName": scaled.name, "Value": 7.0}])
    scaled.minute()
    scaled.minute()
    assert scaled.instances() == 6
