"""Amazon CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import (
    REGIONAL,
    TAGGED,
    Field,
    Name,
    Rule,
    block,
    blocks,
    document,
    flag,
    integer,
    mapping,
    number,
    text,
    texts,
)

DIMENSIONS = ("Name", "Value")
NOT_YET = "not done by this provider; use the official engine for it"
QUERY: Mapping[str, Field] = {
    "id": text(required=True),
    "accountId": text(),
    "expression": text(),
    "label": text(),
    "metric": block(
        {
            "metricName": text(required=True),
            "period": integer(required=True),
            "stat": text(required=True),
            "dimensions": mapping(pairs=DIMENSIONS),
            "namespace": text(),
            "unit": text(),
        }
    ),
    "period": integer(),
    "returnData": flag(),
}
ALARM: Mapping[str, Field] = {
    **TAGGED,
    "actionsEnabled": flag(default=True),
    "alarmActions": texts(unordered=True),
    "alarmDescription": text(),
    "comparisonOperator": text(
        choices=(
            "GreaterThanOrEqualToThreshold",
            "GreaterThanThreshold",
            "LessThanThreshold",
            "LessThanOrEqualToThreshold",
            "LessThanLowerOrGreaterThanUpperThreshold",
            "LessThanLowerThreshold",
            "GreaterThanUpperThreshold",
        )
    ),
    "datapointsToAlarm": integer(),
    "dimensions": mapping(pairs=DIMENSIONS),
    "evaluateLowSampleCountPercentiles": text(
        computed=True, aws="EvaluateLowSampleCountPercentile", choices=("evaluate", "ignore")
    ),
    "evaluationPeriods": integer(),
    "extendedStatistic": text(),
    "insufficientDataActions": texts(unordered=True),
    "metricName": text(),
    "metricQueries": blocks(QUERY, unordered=True),
    "name": text(replaces=True, aws="AlarmName"),
    "namespace": text(),
    "okActions": texts(unordered=True, aws="OKActions"),
    "period": integer(),
    "statistic": text(choices=("SampleCount", "Average", "Sum", "Minimum", "Maximum")),
    "threshold": number(),
    "thresholdMetricId": text(),
    "treatMissingData": text(default="missing", choices=("missing", "ignore", "breaching", "notBreaching")),
    "unit": text(),
}

RULES: Mapping[str, Rule] = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": Rule(
        ALARM,
        outputs=("arn", "tagsAll"),
        name=Name("name", 255, r"[^\x00-\x1f]+", "no control characters"),
        refused=dict.fromkeys(
            ("evaluationCriteria", "evaluationInterval", "evaluationWindow", "warmUpConfiguration"), NOT_YET
        ),
    ),
    "aws:cloudwatch/dashboard:Dashboard": Rule(
        {
            **REGIONAL,
            "dashboardBody": document(required=True),
            "dashboardName": text(required=True, replaces=True),
        },
        outputs=("dashboardArn",),
    ),
}
