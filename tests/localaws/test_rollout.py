"""An update with a deployment configuration: traffic moves stage by stage, and back when an alarm goes off. boto3 and
its waiter are the client; the clock stands still and is put forward."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudmodel.localaws.rollout import Shift, Unfit, plan


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def instances(value: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": value}


def blue_green(kind: str, wait: int = 60, last: int = 0, **sizes: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": last}}


def rolling(size: dict[str, Any], wait: int = 60, **more: Any) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait, **more}}


@pytest.mark.parametrize(
    ("deployment", "count", "shares"),
    [
        (None, 1, [1.0]),
        (blue_green("ALL_AT_ONCE"), 1, [1.0]),
        (blue_green("CANARY", CanarySize=percent(10)), 2, [0.5, 1.0]),
        (blue_green("CANARY", CanarySize=percent(30)), 10, [0.3, 1.0]),
        (blue_green("CANARY", CanarySize=instances(1)), 4, [0.25, 1.0]),
        (blue_green("LINEAR", LinearStepSize=percent(25)), 4, [0.25, 0.5, 0.75, 1.0]),
        (blue_green("LINEAR", LinearStepSize=instances(2)), 5, [0.4, 0.8, 1.0]),
        (rolling(percent(50)), 2, [0.5, 1.0]),
        (rolling(percent(5)), 3, [1 / 3, 2 / 3, 1.0]),
    ],
    ids=str,
)
def test_stages(deployment: dict[str, Any] | None, count: int, shares: list[float]) -> None:
    assert [stage.share for stage in plan(deployment, [count]).stages] == pytest.approx(shares)


@pytest.mark.parametrize(
    ("deployment", "counts", "told"),
    [
        ({**blue_green("ALL_AT_ONCE"), **rolling(percent(50))}, [2], "Only one of"),
        (blue_green("CANARY"), [2], "each needs its own"),
        (blue_green("CANARY", LinearStepSize=percent(20)), [2], "each needs its own"),
        (blue_green("ALL_AT_ONCE", CanarySize=percent(20)), [2], "each needs its own"),
        (blue_green("CANARY", CanarySize=percent(51)), [2], "0% to 50%"),
        (blue_green("CANARY", CanarySize=instances(3)), [4], "0% to 50%"),
        (blue_green("CANARY", CanarySize=percent(10)), [1], "1 instance(s)"),
        (blue_green("LINEAR", LinearStepSize=percent(9)), [20], "10% to 50%"),
        (rolling(percent(4)), [50], "5% to 50%"),
        (rolling(percent(20)), [2, 2], "not supported"),
        (rolling(percent(20)), [], "not supported"),
        (rolling(percent(50), wait=300, MaximumExecutionTimeoutInSeconds=600), [2], "larger than all waits"),
    ],
    ids=str,
)
def test_what_is_not_taken(deployment: dict[str, Any], counts: list[int], told: str) -> None:
    with pytest.raises(Unfit) as caught:
        plan(deployment, counts)
    assert told in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1 / 3, 0.5, 1.0])
def test_a_share_is_spread_evenly(share: float) -> None:
    shift = Shift("green")
    shift.share = share
    turns = [shift.turns() for _ in range(300)]
    assert sum(turns) == pytest.approx(300 * share, abs=1)
    assert sum(turns[:30]) == pytest.approx(30 * share, abs=1)


@pytest.fixture
def fleets(cloud: Any) -> tuple[str, str, str]:
    """An endpoint on two instances that answers "old", its configuration, and one that answers "new"."""
    cloud.clock(speed=0)
    old, new = (cloud.config(cloud.model(answer), InitialInstanceCount=2) for answer in ("old", "new"))
    return cloud.endpoint(old), old, new


def alarm(cloud: Any, **settings: Any) -> str:
    name = str(cloud.name("alarm"))
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=name, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Threshold=0.0,
        TreatMissingData="notBreaching",
        **{"Namespace": "Own", "MetricName": name, "Period": 60, "Statistic": "Sum"} | settings,
    )  # fmt: skip
    return name


def watching(*alarms: str) -> dict[str, Any]:
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}


def answers(cloud: Any, name: str, count: int = 20) -> Counter[str]:
    return Counter(cloud.ask(name) for _ in range(count))


def in_service(cloud: Any, name: str) -> dict[str, Any]:
    """What Describe says once boto3's own waiter is content."""
    waiter = cloud.sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    return dict(cloud.sagemaker.describe_endpoint(EndpointName=name))


@contextmanager
def load(cloud: Any, name: str) -> Iterator[list[str]]:
    """Clients that ask over and over meanwhile; no request may fail. Yields what they were answered."""
    stop, heard, failures = threading.Event(), list[str](), list[BaseException]()

    def client() -> None:
        while not stop.is_set():
            try:
                heard.append(cloud.ask(name))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_canary_bakes_then_takes_all_and_lands(cloud: Any, fleets: tuple[str, str, str]) -> None:
    name, old, new = fleets
    deployment = {**blue_green("CANARY", 120, 60, CanarySize=percent(50)), **watching(alarm(cloud))}
    with load(cloud, name) as heard:
        cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
        cloud.baking(
            name, "Baking for 120 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1"
        )
        described = cloud.sagemaker.describe_endpoint(EndpointName=name)
        assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", old)
        assert described["PendingDeploymentSummary"]["EndpointConfigName"] == new
        (pending,) = described["PendingDeploymentSummary"]["ProductionVariants"]
        assert (pending["CurrentInstanceCount"], pending["DesiredInstanceCount"]) == (1, 2)
        seen = len(heard)
        cloud.until(lambda: {"old", "new"} <= set(heard[seen:]))
        cloud.clock(forward=120)
        cloud.baking(
            name, "Baking for 60 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 2"
        )
        assert answers(cloud, name) == {"new": 20}
        assert cloud.sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == old
        cloud.clock(forward=60)
        described = in_service(cloud, name)
    assert (described["EndpointConfigName"], described.get("FailureReason")) == (new, None)
    assert "PendingDeploymentSummary" not in described
    assert described["LastDeploymentConfig"] == deployment


@pytest.mark.parametrize(
    ("deployment", "shares"),
    [
        (blue_green("ALL_AT_ONCE", 60, 60), [20]),
        (blue_green("LINEAR", 60, 60, LinearStepSize=percent(50)), [10, 20]),
        (rolling(percent(50)), [10, 20]),
    ],
    ids=["all-at-once", "linear", "rolling"],
)
def test_each_stage_is_watched_with_its_share(
    cloud: Any, fleets: tuple[str, str, str], deployment: dict[str, Any], shares: list[int]
) -> None:
    name, _, new = fleets
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    seen: list[str] = []
    for share in shares:
        cloud.until(lambda: (stage := cloud.stage(name)) and stage[0] == "Baking" and stage[1] not in seen)
        seen.append(cloud.stage(name)[1])
        assert answers(cloud, name)["new"] == share
        cloud.clock(forward=60)
    assert in_service(cloud, name)["EndpointConfigName"] == new


def test_an_alarm_that_somebody_sets_sends_the_traffic_back(cloud: Any, fleets: tuple[str, str, str]) -> None:
    name, old, new = fleets
    watched = alarm(cloud)
    deployment = {**blue_green("CANARY", 600, CanarySize=percent(50)), **watching(watched)}
    with load(cloud, name):
        cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
        cloud.baking(name)
        cloud.cloudwatch.set_alarm_state(AlarmName=watched, StateValue="ALARM", StateReason="a drill")
        described = in_service(cloud, name)
        assert answers(cloud, name) == {"old": 20}
    assert described["EndpointConfigName"] == old
    assert watched in described["FailureReason"]
    assert "PendingDeploymentSummary" not in described
    cloud.clock(forward=60)
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, RetainDeploymentConfig=True)
    cloud.baking(name)
    cloud.clock(forward=600)
    described = in_service(cloud, name)
    assert (described["EndpointConfigName"], described.get("FailureReason")) == (new, None)


def test_errors_of_the_new_fleet_alone_send_it_back(cloud: Any, fleets: tuple[str, str, str]) -> None:
    """The alarm counts by EndpointConfigName. It is off for one minute only, long before the clock's next stop."""
    name, old, new = fleets
    dimensions = {"EndpointName": name, "VariantName": "v0", "EndpointConfigName": new}
    watched = alarm(
        cloud,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
    )
    deployment = {**blue_green("CANARY", 600, CanarySize=percent(50)), **watching(watched)}
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    cloud.baking(name)
    for _ in range(2):  # one for each fleet
        cloud.refused(cloud.ask, name=name, body="raise")
    cloud.clock(forward=600)
    described = in_service(cloud, name)
    assert described["EndpointConfigName"] == old
    assert watched in described["FailureReason"]


def test_an_alarm_that_is_off_from_the_start_and_one_that_is_not_there(
    cloud: Any, fleets: tuple[str, str, str]
) -> None:
    name, old, new = fleets
    watched = alarm(cloud)
    deployment = {**blue_green("ALL_AT_ONCE", 60, 60), **watching(watched)}
    refusal = cloud.refused(
        cloud.sagemaker.update_endpoint,
        EndpointName=name,
        EndpointConfigName=new,
        DeploymentConfig=deployment | watching("nobody"),
    )
    assert "nobody" in refusal["Error"]["Message"]
    cloud.cloudwatch.set_alarm_state(AlarmName=watched, StateValue="ALARM", StateReason="before")
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    assert in_service(cloud, name)["EndpointConfigName"] == old


def test_a_deployment_configuration_is_for_the_same_variants(cloud: Any, fleets: tuple[str, str, str]) -> None:
    name, _, _ = fleets
    two = cloud.config(cloud.model("new"), cloud.model("other"), InitialInstanceCount=2)
    update = {"EndpointName": name, "EndpointConfigName": two}
    for deployment in (blue_green("ALL_AT_ONCE"), rolling(percent(50))):
        refusal = cloud.refused(cloud.sagemaker.update_endpoint, **update, DeploymentConfig=deployment)
        assert "['v1'] are not in both endpoint configurations" in refusal["Error"]["Message"]
    cloud.sagemaker.update_endpoint(**update)
    assert in_service(cloud, name)["EndpointConfigName"] == two


def test_a_deployment_that_takes_too_long_goes_back(cloud: Any, fleets: tuple[str, str, str]) -> None:
    """Its waits alone would fit: the clock is put forward by more."""
    name, old, new = fleets
    deployment = rolling(percent(50), 300, MaximumExecutionTimeoutInSeconds=601)
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    cloud.baking(name)
    cloud.clock(forward=3000)
    described = in_service(cloud, name)
    assert described["EndpointConfigName"] == old
    assert "MaximumExecutionTimeoutInSeconds" in described["FailureReason"]


def test_a_bundle_that_does_not_load_gets_no_request(cloud: Any, fleets: tuple[str, str, str]) -> None:
    name, old, _ = fleets
    broken = cloud.config(cloud.model(code="raise ValueError('weights are missing')"), InitialInstanceCount=2)
    deployment = blue_green("CANARY", 600, CanarySize=percent(50))
    with load(cloud, name) as heard:
        cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken, DeploymentConfig=deployment)
        described = in_service(cloud, name)
    assert (described["EndpointConfigName"], set(heard)) == (old, {"old"})
    assert "weights are missing" in described["FailureReason"]


def test_deleting_while_it_bakes_ends_in_deletion(cloud: Any, fleets: tuple[str, str, str]) -> None:
    name, _, new = fleets
    deployment = blue_green("CANARY", 600, CanarySize=percent(50))
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=deployment)
    cloud.baking(name)
    cloud.delete(name)
    cloud.until(lambda: not cloud.report()["workers"])
