"""The dashboard's body is CloudWatch's form, says the same bytes each time, and shows what can go wrong."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

ACCOUNT = "111122223333"


def widgets(plan: Any) -> dict[str, Any]:
    """By title."""
    document = json.loads(plan.one("Dashboard").inputs["dashboardBody"])
    return {each["properties"]["title"]: each for each in document["widgets"]}


def metrics(widget: Any) -> list[tuple[str, str, str]]:
    """Namespace, name and statistic of each line; those that only feed an expression too."""
    found = []
    for line in widget["properties"]["metrics"]:
        if len(line) == 1:
            assert line[0].keys() == {"expression", "label", "id"}
            continue
        namespace, name, *dimensions, drawn = line
        assert dimensions == ["EndpointName", "digits-local", "VariantName", "main"]
        found.append((namespace, name, drawn["stat"]))
    return found


@pytest.mark.parametrize(
    ("settings", "shown", "unpublished"),
    [
        (
            {"mode": "async"},
            {"ApproximateBacklogSizePerInstance", "InvocationFailures", "CPUUtilization"},
            "Invocations",
        ),
        (
            {"mode": "serverless", "serverless": {"provisioned": 1}},
            {"ServerlessConcurrentExecutionsUtilization", "ServerlessProvisionedConcurrencyUtilization", "Invocations"},
            "CPUUtilization",
        ),
    ],
    ids=["async", "serverless"],
)
def test_it_shows_what_the_mode_publishes(evaluate: Any, settings: Any, shown: set[str], unpublished: str) -> None:
    drawn = [each for each in widgets(evaluate(**settings)).values() if each["type"] == "metric"]
    lines = [line for each in drawn for line in each["properties"]["metrics"]]
    names = {line[1] for line in lines}
    assert shown <= names
    assert unpublished not in names
    for line in lines:
        of_endpoint = line[1].startswith("Approximate")
        assert line[2:-1] == ["EndpointName", "digits-local", *([] if of_endpoint else ["VariantName", "main"])]


@pytest.mark.parametrize("instance", ["ml.c7i.large", "ml.g5.12xlarge"])
def test_it_shows_requests_errors_latency_machines_and_alarms(evaluate: Any, instance: str) -> None:
    plan = evaluate(instance=instance)
    shown = widgets(plan)
    lines = [line for each in shown.values() if each["type"] == "metric" for line in metrics(each)]
    wanted = [
        ("AWS/SageMaker", "Invocations", "Sum"),
        ("AWS/SageMaker", "Invocation5XXErrors", "Sum"),
        ("AWS/SageMaker", "ModelLatency", "p50"),
        ("AWS/SageMaker", "ModelLatency", "p99"),
        ("AWS/SageMaker", "InvocationsPerInstance", "Sum"),
        ("/aws/sagemaker/Endpoints", "CPUUtilization", "Average"),
        ("/aws/sagemaker/Endpoints", "MemoryUtilization", "Maximum"),
    ]
    assert set(wanted) <= set(lines)
    assert (("/aws/sagemaker/Endpoints", "GPUUtilization", "Average") in lines) == instance.startswith("ml.g")
    assert sorted(shown["Alarms"]["properties"]["alarms"]) == [
        f"arn:aws:made:us-east-1:{ACCOUNT}:alarm-{name}" for name in ("errors", "latency", "saturation")
    ]


def test_no_widget_lies_on_another_or_beyond_the_grid(evaluate: Any) -> None:
    for instance in ("ml.c7i.large", "ml.g5.12xlarge"):
        places = []
        for widget in widgets(evaluate(instance=instance)).values():
            assert widget["x"] + widget["width"] <= 24
            cells = {
                (widget["x"] + column, widget["y"] + row)
                for column in range(widget["width"])
                for row in range(widget["height"])
            }
            places.append(cells)
        assert all(one.isdisjoint(other) for one, other in combinations(places, 2))


def test_every_id_that_an_expression_names_is_there(evaluate: Any) -> None:
    lines = widgets(evaluate())["Instances, while requests come"]["properties"]["metrics"]
    assert {line[-1]["id"] for line in lines} == {"instances", "requests", "share"}
    assert [line[-1].get("visible", True) for line in lines] == [True, False, False]


def test_the_alarms_threshold_is_drawn(evaluate: Any) -> None:
    shown = widgets(evaluate(alarms={"p99_ms": 250}))
    (line,) = shown["Latency in microseconds"]["properties"]["annotations"]["horizontal"]
    assert line["value"] == 250_000


def test_the_same_stack_gives_the_same_bytes(evaluate: Any) -> None:
    first, second = (evaluate().one("Dashboard").inputs["dashboardBody"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_its_address_is_the_partitions_console(evaluate: Any, region: str, host: str) -> None:
    told = evaluate(**{"aws:region": region}).outputs["dashboard_url"]
    assert told == f"https://{host}/cloudwatch/home?region={region}#dashboards/dashboard/digits-local"
