"""What an alarm tells its topics when it comes to another state.

Form: the JSON of CloudWatch's notifications to SNS, field by field as it stands in messages that AWS sent; of a metric
an alarm has its name, namespace and statistic, of an expression all of its queries. What other actions than topics do
stands where they are done: policies in `scaler`.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from moto.sns.exceptions import SNSNotFoundError
from moto.sns.models import sns_backends

ACTIONS = {"OK": "ok_actions", "ALARM": "alarm_actions", "INSUFFICIENT_DATA": "insufficient_data_actions"}


def tell(backend: Any, alarm: Any, before: str) -> None:
    """Publish that `alarm`, of CloudWatch's `backend`, came from the state `before` to the one that it has; a topic
    that is gone, or whose delivery fails, hears nothing. Called under the lock of the backends."""
    if not alarm.actions_enabled or alarm.state_value == before:
        return
    told = json.dumps(_document(backend, alarm, before))
    subject = f'{alarm.state_value}: "{alarm.name}" in {region_name(backend.region_name)}'[:100]
    for action in getattr(alarm, ACTIONS[alarm.state_value]) or ():
        if not action.startswith("arn:") or action.split(":")[2] != "sns":
            continue
        try:
            region, account = action.split(":")[3:5]
            sns_backends[account][region].publish(told, arn=action, subject=subject)
        except SNSNotFoundError:
            continue
        except Exception:  # of one topic; the others hear it, and the clock goes on
            traceback.print_exc(file=sys.stderr)


@cache
def region_name(region: str) -> str:
    """A region as CloudWatch's messages write it: "US East (N. Virginia)"; botocore knows them, and says Europe for
    what the messages call EU."""
    from botocore.loaders import create_loader

    for partition in create_loader().load_data("endpoints")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"]).replace("Europe (", "EU (")
    return region


def _document(backend: Any, alarm: Any, before: str) -> dict[str, Any]:
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": backend.account_id,
        "AlarmConfigurationUpdatedTimestamp": _stamp(alarm.configuration_updated_timestamp),
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": _stamp(alarm.state_updated_timestamp),
        "Region": region_name(backend.region_name),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
        "OKActions": list(alarm.ok_actions or ()),
        "AlarmActions": list(alarm.alarm_actions or ()),
        "InsufficientDataActions": list(alarm.insufficient_data_actions or ()),
        "Trigger": _trigger(alarm),
    }


def _trigger(alarm: Any) -> dict[str, Any]:
    watched: dict[str, Any] = {}
    if not alarm.metric_data_queries:
        kind = "ExtendedStatistic" if alarm.extended_statistic else "Statistic"
        watched = {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "StatisticType": kind,
            kind: alarm.extended_statistic or str(alarm.statistic).upper(),
            "Unit": alarm.unit,
            "Dimensions": _dimensions(alarm.dimensions),
        }
    periods = [int(each.metric_stat.period) for each in alarm.metric_data_queries if each.metric_stat]
    return {
        **watched,
        "Period": max(periods) if periods else alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        **({"DatapointsToAlarm": alarm.datapoints_to_alarm} if alarm.datapoints_to_alarm else {}),
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "missing",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
        **({"Metrics": [_query(each) for each in alarm.metric_data_queries]} if alarm.metric_data_queries else {}),
    }


def _query(query: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"Id": query.id}
    if query.expression:
        said["Expression"] = query.expression
    if query.label:
        said["Label"] = query.label
    if query.metric_stat is not None:
        metric = query.metric_stat.metric
        said["MetricStat"] = {
            "Metric": {
                "Dimensions": _dimensions(metric.dimensions),
                "MetricName": metric.metric_name,
                "Namespace": metric.namespace,
            },
            "Period": int(query.metric_stat.period),
            "Stat": query.metric_stat.stat,
        }
    return {**said, "ReturnData": str(query.return_data).lower() != "false"}


def _dimensions(dimensions: Iterable[Any]) -> list[dict[str, str]]:
    """In the messages' own spelling: lower case, the value first."""
    return [{"value": each.value, "name": each.name} for each in dimensions]


def _stamp(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds") + "+0000"
