"""What an alarm tells its topics when it comes to another state.

Form: the JSON of CloudWatch's notifications ("Notifying users on alarm changes", "Alarm events"). What other actions
than topics do stands where they are done: policies in `scaler`.
"""

from __future__ import annotations

import json
from typing import Any

from moto.sns.exceptions import SNSNotFoundError
from moto.sns.models import sns_backends

ACTIONS = {"OK": "ok_actions", "ALARM": "alarm_actions", "INSUFFICIENT_DATA": "insufficient_data_actions"}


def tell(backend: Any, alarm: Any, before: str) -> None:
    """Publish that `alarm`, of CloudWatch's `backend`, came from the state `before` to the one that it has; a topic
    that is gone hears nothing. Called under the lock of the backends."""
    if not alarm.actions_enabled or alarm.state_value == before:
        return
    told = json.dumps(_document(backend, alarm, before))
    for action in getattr(alarm, ACTIONS[alarm.state_value]) or ():
        if not action.startswith("arn:") or action.split(":")[2] != "sns":
            continue
        region, account = action.split(":")[3:5]
        try:
            subject = f'{alarm.state_value}: "{alarm.name}" in {region}'
            sns_backends[account][region].publish(told, arn=action, subject=subject[:100])
        except SNSNotFoundError:
            continue


def _document(backend: Any, alarm: Any, before: str) -> dict[str, Any]:
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AlarmArn": alarm.alarm_arn,
        "AWSAccountId": backend.account_id,
        "Region": backend.region_name,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "OldStateValue": before,
        "StateChangeTime": alarm.state_updated_timestamp.isoformat(timespec="milliseconds") + "+0000",
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "ComparisonOperator": alarm.comparison_operator,
            "EvaluationPeriods": alarm.evaluation_periods,
            "Threshold": alarm.threshold,
        },
    }
