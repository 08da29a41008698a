"""Alarms move with the data that endpoints and clients put, by the local AWS's own clock; boto3 looks at them."""

from __future__ import annotations

import json
import queue
import re
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.localaws import metric_math
from cloudmodel.localaws.alarms import judge

OK, ALARM, NO_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
X, O = 9.0, 1.0  # noqa: E741  (as CloudWatch's own table writes them: breaching and fine)


@pytest.mark.parametrize(
    ("points", "needed", "expected"),
    [
        # (missing, ignore, breaching, notBreaching), the state before is "before"
        ([O, O, O], 3, (OK, OK, OK, OK)),
        ([X, X, X], 3, (ALARM, ALARM, ALARM, ALARM)),
        ([O, X, X], 3, (OK, OK, OK, OK)),
        ([None, None, None], 3, (NO_DATA, "before", ALARM, OK)),
        ([O, None, None], 3, (OK, OK, OK, OK)),
        ([None, None, X], 3, (NO_DATA, "before", ALARM, OK)),
        ([O, None, X], 2, (NO_DATA, "before", ALARM, OK)),
        ([X, None, X], 2, (ALARM, ALARM, ALARM, ALARM)),
        ([O, O, X], 2, (OK, OK, OK, OK)),
        ([None, X, None], 1, (ALARM, ALARM, ALARM, ALARM)),
    ],
)
def test_what_an_alarm_is_after_some_periods(
    points: list[float | None], needed: int, expected: tuple[str, ...]
) -> None:
    for treatment, wanted in zip(("missing", "ignore", "breaching", "notBreaching"), expected, strict=True):
        alarm = SimpleNamespace(
            comparison_operator="GreaterThanThreshold", threshold=5.0, datapoints_to_alarm=needed,
            evaluation_periods=len(points), treat_missing_data=treatment,
        )  # fmt: skip
        assert judge(points, alarm, "before") == wanted, treatment


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(requests > 0, 100 * errors / requests, 0)", [50.0, 0.0, None]),
        ("100*errors/requests", [50.0, None, None]),
        ("FILL(requests, 0) + 1", [5.0, 1.0, 1.0]),
        ("-(requests - errors) * 2 >= -4", [1.0, 1.0, None]),
        ("IF(errors != requests, 7, 8)", [7.0, 8.0, None]),
    ],
)
def test_metric_math(expression: str, expected: list[float | None]) -> None:
    assert metric_math.compute(expression, {"requests": [4, 0, None], "errors": [2, 0, None]}, 3) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "", "errors +", "errors.real", "__import__('os')", "SUM(METRICS())", "IF(a, b)", "a ** 9", "'x'", "[a]",
        "1 < a < 2",
        "(" * 400 + "a" + ")" * 400, "-" * 300 + "a", "a" * 2000, "IF(a, b, c, d)", "lambda: 1", "a if b else c", "*",
    ],
)  # fmt: skip
def test_what_is_not_computed_is_not_understood(expression: str) -> None:
    with pytest.raises(metric_math.NotUnderstood):
        metric_math.compute(expression, {"a": [1.0], "errors": [1.0]}, 1)


@given(st.text(alphabet="abIFL(),+-*/<>=!.0123456789 _'[]:", max_size=40))
def test_any_text_is_computed_or_not_understood(expression: str) -> None:
    try:
        (value,) = metric_math.compute(expression, {"a": [1.0], "b": [None]}, 1)
    except metric_math.NotUnderstood:
        return
    assert value is None or isinstance(value, float)


def put(cloud: Any, name: str, **settings: Any) -> None:
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=name,
        **{
            "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "Threshold": 5.0,
            "Namespace": "Own", "MetricName": "depth", "Period": 60, "Statistic": "Maximum",
        } | settings,
    )  # fmt: skip


def state(cloud: Any, name: str) -> str:
    (alarm,) = cloud.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarm["StateValue"])


def minutes(cloud: Any, count: float) -> None:
    """Put the clock, which stands still, forward to the middle of a minute."""
    now = cloud.clock()
    cloud.clock(forward=(now // 60 + count) * 60 + 30 - now)


def test_an_alarm_moves_with_the_data_that_a_client_puts(cloud: Any) -> None:
    cloud.clock(speed=0)
    name = cloud.name("alarm")
    put(cloud, name)
    assert state(cloud, name) == NO_DATA
    minutes(cloud, 1)
    cloud.cloudwatch.put_metric_data(Namespace="Own", MetricData=[{"MetricName": "depth", "Value": 6}])
    assert state(cloud, name) == NO_DATA, "the minute is not over"
    minutes(cloud, 1)
    assert state(cloud, name) == ALARM
    (alarm,) = cloud.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert "6" in alarm["StateReason"]
    put(cloud, name, AlarmDescription="changed")
    assert state(cloud, name) == ALARM
    when = datetime.fromtimestamp(cloud.clock(), UTC)
    seen = {"Sum": 9, "Minimum": 2, "Maximum": 4, "SampleCount": 3}
    cloud.cloudwatch.put_metric_data(
        Namespace="Own", MetricData=[{"MetricName": "depth", "Timestamp": when, "StatisticValues": seen}]
    )
    minutes(cloud, 1)
    assert state(cloud, name) == OK
    minutes(cloud, 1)
    assert state(cloud, name) == NO_DATA


def test_a_state_that_somebody_sets_lasts_until_the_data_are_looked_at_again(cloud: Any) -> None:
    cloud.clock(speed=0)
    minutes(cloud, 1)
    name = cloud.name("alarm")
    put(cloud, name, TreatMissingData="notBreaching")
    assert state(cloud, name) == OK
    cloud.cloudwatch.set_alarm_state(AlarmName=name, StateValue=ALARM, StateReason="a drill")
    assert state(cloud, name) == ALARM
    minutes(cloud, 1)
    assert state(cloud, name) == OK


def test_an_expression_that_is_not_computed_here_is_refused(cloud: Any) -> None:
    metric = {"Metric": {"Namespace": "Own", "MetricName": "depth"}, "Period": 60, "Stat": "Sum"}
    refusal = cloud.refused(
        cloud.cloudwatch.put_metric_alarm,
        AlarmName="x", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Threshold=1,
        Metrics=[
            {"Id": "rate", "Expression": "ANOMALY_DETECTION_BAND(m)"},
            {"Id": "m", "MetricStat": metric, "ReturnData": False},
        ],
    )  # fmt: skip
    assert "does not compute" in refusal["Error"]["Message"]


def test_what_an_endpoint_answers_is_counted_and_moves_alarms(cloud: Any) -> None:
    cloud.clock(speed=0)
    name = cloud.endpoint(cloud.config(cloud.model()))
    config = cloud.sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    minutes(cloud, 1)
    of_endpoint = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "v0"}]

    def counted(metric: str, id: str) -> dict[str, Any]:
        where = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": of_endpoint}
        return {"Id": id, "MetricStat": {"Metric": where, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    cloud.cloudwatch.put_metric_alarm(
        AlarmName=f"{name}-errors", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Threshold=30,
        TreatMissingData="notBreaching",
        Metrics=[
            {"Id": "rate", "Expression": "IF(requests > 0, 100 * errors / requests, 0)", "ReturnData": True},
            counted("Invocation5XXErrors", "errors"),
            counted("Invocations", "requests"),
        ],
    )  # fmt: skip
    latency = {
        "Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", "Dimensions": of_endpoint, "Statistic": None,
        "TreatMissingData": "notBreaching",
    }  # fmt: skip
    slow = {key: value for key, value in {**latency, "ExtendedStatistic": "p99", "Threshold": 1.0}.items() if value}
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=f"{name}-latency", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Period=60, **slow
    )
    for body in ("hello", "raise", "bad", "raise"):
        if body == "hello":
            cloud.ask(name, body)
        else:
            cloud.refused(cloud.ask, name=name, body=body)
    assert state(cloud, f"{name}-errors") == OK
    minutes(cloud, 1)
    assert state(cloud, f"{name}-errors") == ALARM
    assert state(cloud, f"{name}-latency") == ALARM, "every answer takes more than a microsecond"

    def total(metric: str, *more: dict[str, str]) -> Any:
        now = cloud.clock()
        (point,) = cloud.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=metric, Dimensions=[*of_endpoint, *more], Period=3600,
            StartTime=datetime.fromtimestamp(now - 600, UTC), EndTime=datetime.fromtimestamp(now, UTC),
            Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        return point["Sum"]

    of_fleet = {"Name": "EndpointConfigName", "Value": config}
    assert (total("Invocations"), total("Invocations", of_fleet), total("Invocation4XXErrors", of_fleet)) == (4, 4, 1)
    assert (total("Invocation5XXErrors", of_fleet), total("InvocationModelErrors", of_fleet)) == (2, 3)
    assert total("InvocationsPerInstance", of_fleet) == 4
    assert total("ModelLatency", of_fleet) > total("Invocations", of_fleet)
    minutes(cloud, 1)
    assert (state(cloud, f"{name}-errors"), state(cloud, f"{name}-latency")) == (OK, OK)


class Subscriber:
    """An address of this machine that hears what a topic posts."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[Any, dict[str, Any]]] = queue.Queue()
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.put((self.headers, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hung() -> Iterator[str]:
    """An address that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_topics_post_to_this_machine_and_wait_for_nobody(cloud: Any, hung: str) -> None:
    sns, name, subscriber = cloud.client("sns"), cloud.name("posts"), Subscriber()
    topic = sns.create_topic(Name=name)["TopicArn"]
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    queues = f"arn:aws:sqs:{cloud.REGION}:123456789012:{cloud.name('gone')}"
    for protocol, address in (("sqs", queues), ("http", dead), ("http", hung), ("http", subscriber.url)):
        sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=address)
    try:
        sent = sns.publish(TopicArn=topic, Subject="a subject", Message="hello")["MessageId"]
        headers, said = subscriber.told.get(timeout=60)
    finally:
        subscriber.close()
    assert (said["Type"], said["Message"], said["Subject"]) == ("Notification", "hello", "a subject")
    assert (headers["x-amz-sns-message-id"], headers["x-amz-sns-topic-arn"]) == (sent, topic)
    for protocol, address in (
        ("https", "https://example.com/hook"),
        ("http", "http://example.com/"),
        ("http", "http://127.0.0.1@example.com/"),
        ("http", "http://example.com\\@127.0.0.1/"),
        ("http", "http://127.0.0.1.example.com/"),
        ("http", "https://127.0.0.1/"),
    ):
        refusal = cloud.refused(sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=address)
        assert refusal["Error"]["Code"] == "InvalidParameter" and "this machine only" in refusal["Error"]["Message"]


def test_its_topics_hear_of_each_change_without_anybody_looking(cloud: Any) -> None:
    now = cloud.clock(speed=0)
    cloud.clock(forward=60 - now % 60 + 1)
    sns, sqs, name = cloud.client("sns"), cloud.client("sqs"), cloud.name("alarm")
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def heard() -> dict[str, Any]:
        found: list[Any] = []

        def told() -> bool:
            found.extend(sqs.receive_message(QueueUrl=queue).get("Messages", []))
            return bool(found)

        cloud.until(told)
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=found[0]["ReceiptHandle"])
        document: dict[str, Any] = json.loads(json.loads(found[0]["Body"])["Message"])
        assert (document["AlarmName"], document["Region"]) == (name, "EU (Ireland)")
        return document

    def moved() -> tuple[str, str]:
        document = heard()
        return document["OldStateValue"], document["NewStateValue"]

    cloud.cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="Own", MetricName=name, Period=60, Statistic="Sum", EvaluationPeriods=1,
        Threshold=5.0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
        AlarmActions=[topic, f"{topic}-that-is-gone"], OKActions=[topic],
        Dimensions=[{"Name": "Host", "Value": "a"}], AlarmDescription="too deep",
    )  # fmt: skip
    datum = {"MetricName": name, "Value": 9.0, "Dimensions": [{"Name": "Host", "Value": "a"}]}
    cloud.cloudwatch.put_metric_data(Namespace="Own", MetricData=[datum])
    cloud.clock(forward=60)
    document = heard()
    # A message of CloudWatch's, as people who had one published it, with its names and values in the place of theirs.
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
    assert stamp.fullmatch(document.pop("StateChangeTime"))
    assert stamp.fullmatch(document.pop("AlarmConfigurationUpdatedTimestamp"))
    assert document.pop("NewStateReason")
    assert document == {
        "AlarmName": name, "AlarmDescription": "too deep", "AWSAccountId": "123456789012", "NewStateValue": ALARM,
        "Region": "EU (Ireland)", "AlarmArn": f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}",
        "OldStateValue": NO_DATA, "OKActions": [topic], "AlarmActions": [topic, f"{topic}-that-is-gone"],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": name, "Namespace": "Own", "StatisticType": "Statistic", "Statistic": "SUM", "Unit": None,
            "Dimensions": [{"value": "a", "name": "Host"}], "Period": 60, "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold", "Threshold": 5.0, "TreatMissingData": "notBreaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }  # fmt: skip
    cloud.clock(forward=60)
    assert moved() == (ALARM, OK)
    metric = {"Namespace": "Own", "MetricName": name, "Dimensions": [{"Name": "Host", "Value": "a"}]}
    cloud.cloudwatch.put_metric_alarm(
        AlarmName=name, EvaluationPeriods=3, DatapointsToAlarm=2, Threshold=7.0,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic],
        Metrics=[
            {"Id": "e", "Expression": "FILL(m, 0)", "Label": "depth", "ReturnData": True},
            {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "p90"}, "ReturnData": False},
        ],
    )  # fmt: skip
    cloud.cloudwatch.set_alarm_state(AlarmName=name, StateValue=ALARM, StateReason="a rehearsal")
    document = heard()
    assert (document["OldStateValue"], document["NewStateReason"]) == (OK, "a rehearsal")
    assert document["Trigger"] == {
        "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 7.0, "TreatMissingData": "missing", "EvaluateLowSampleCountPercentile": "",
        "Metrics": [
            {"Id": "e", "Expression": "FILL(m, 0)", "Label": "depth", "ReturnData": True},
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Dimensions": [{"value": "a", "name": "Host"}], "MetricName": name, "Namespace": "Own",
                    },
                    "Period": 60, "Stat": "p90",
                },
                "ReturnData": False,
            },
        ],
    }  # fmt: skip
