"""Alarms and dashboards on moto."""

from __future__ import annotations

from typing import Any

from cloudmodel.core.resource import DiffKind

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"
LATENCY = {
    "comparisonOperator": "GreaterThanThreshold",
    "evaluationPeriods": 3,
    "metricName": "ModelLatency",
    "namespace": "AWS/SageMaker",
    "period": 60,
    "extendedStatistic": "p99",
    "threshold": 250000,
    "dimensions": {"EndpointName": "e", "VariantName": "v"},
    "alarmActions": ["arn:aws:sns:eu-west-1:123456789012:b", "arn:aws:sns:eu-west-1:123456789012:a"],
    "tags": {"a": "b"},
}


def counted(metric: str, id: str) -> dict[str, Any]:
    where = {"metricName": metric, "namespace": "AWS/SageMaker", "period": 60, "stat": "Sum"}
    return {"id": id, "metric": {**where, "dimensions": {"EndpointName": "e", "VariantName": "v"}}}


RATE = {
    "comparisonOperator": "GreaterThanThreshold",
    "evaluationPeriods": 1,
    "threshold": 5,
    "metricQueries": [
        {"id": "rate", "expression": "100*errors/calls", "label": "errors in percent", "returnData": True},
        counted("Invocation5XXErrors", "errors"),
        counted("Invocations", "calls"),
    ],
}


def test_an_alarm_from_put_to_delete(aws: Any) -> None:
    live = aws.create(ALARM, LATENCY)
    assert live.outputs["arn"] == f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{live.id}"
    assert live.outputs["treatMissingData"] == "missing" and live.outputs["actionsEnabled"] is True
    assert aws.read(ALARM, live) == live
    assert aws.find(ALARM, live.inputs) == live.id
    news = {**LATENCY, "threshold": 0.5, "treatMissingData": "notBreaching", "tags": {"c": "d"}, "alarmActions": []}
    assert set(aws.diff(ALARM, live, news).changes) == {
        "threshold",
        "treatMissingData",
        "tags.a",
        "tags.c",
        "alarmActions[0]",
        "alarmActions[1]",
    }
    changed = aws.update(ALARM, live, news)
    assert aws.read(ALARM, changed) == changed
    assert aws.diff(ALARM, changed, news).changes == {}
    assert aws.diff(ALARM, live, {**LATENCY, "name": "x"}).replaces == ("name",)
    aws.delete(ALARM, changed)
    assert aws.read(ALARM, changed) is None
    assert aws.find(ALARM, live.inputs) is None
    aws.delete(ALARM, changed)


def test_an_alarm_on_an_expression(aws: Any) -> None:
    live = aws.create(ALARM, RATE)
    assert aws.read(ALARM, live) == live
    assert aws.diff(ALARM, live, RATE).changes == {}
    changed = {**RATE, "metricQueries": [*RATE["metricQueries"][:2], counted("Invocations4XXErrors", "calls")]}  # type: ignore[index]
    assert aws.diff(ALARM, live, changed).changes == {"metricQueries[2].metric.metricName": DiffKind.UPDATE}
    imported = aws.provider.read("urn", ALARM, live.id, {}, {})
    assert aws.diff(ALARM, imported, {**RATE, "name": live.id}).changes == {}


def test_a_threshold_that_somebody_changed_by_hand_is_seen(aws: Any) -> None:
    import boto3

    live = aws.create(ALARM, LATENCY)
    cloudwatch = boto3.client("cloudwatch", region_name="eu-west-1")
    alarm = cloudwatch.describe_alarms(AlarmNames=[live.id])["MetricAlarms"][0]
    names = ("AlarmName", "ComparisonOperator", "EvaluationPeriods", "MetricName", "Namespace", "Period", "Dimensions",
             "ExtendedStatistic", "AlarmActions")  # fmt: skip
    cloudwatch.put_metric_alarm(**{name: alarm[name] for name in names}, Threshold=1.0)
    assert aws.diff(ALARM, aws.read(ALARM, live), LATENCY).changes == {"threshold": DiffKind.UPDATE}


def test_a_dashboard_from_put_to_delete(aws: Any) -> None:
    live = aws.create(DASHBOARD, {"dashboardName": "d", "dashboardBody": '{"widgets": []}'})
    assert live.id == "d"
    assert live.outputs["dashboardArn"] == "arn:aws:cloudwatch::123456789012:dashboard/d"
    assert aws.read(DASHBOARD, live) == live
    assert aws.find(DASHBOARD, live.inputs) == "d"
    assert aws.diff(DASHBOARD, live, {"dashboardName": "d", "dashboardBody": '{"widgets":[]}'}).changes == {}
    news = {"dashboardName": "d", "dashboardBody": '{"widgets": [], "start": "-PT3H"}'}
    assert aws.diff(DASHBOARD, live, news).changes == {"dashboardBody": DiffKind.UPDATE}
    changed = aws.update(DASHBOARD, live, news)
    assert aws.read(DASHBOARD, changed) == changed
    assert aws.diff(DASHBOARD, live, {**news, "dashboardName": "x"}).replaces == ("dashboardName",)
    aws.delete(DASHBOARD, changed)
    assert aws.read(DASHBOARD, changed) is None
    aws.delete(DASHBOARD, changed)
