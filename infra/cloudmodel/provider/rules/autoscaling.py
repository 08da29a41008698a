"""Application Auto Scaling."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import (
    REGIONAL,
    TAGGED,
    Field,
    Kind,
    Name,
    Rule,
    block,
    blocks,
    flag,
    integer,
    number,
    text,
)

WHAT: Mapping[str, Field] = {
    "resourceId": text(required=True, replaces=True),
    "scalableDimension": text(required=True, replaces=True),
    "serviceNamespace": text(required=True, replaces=True),
}
DIMENSION: Mapping[str, Field] = {"name": text(required=True), "value": text(required=True)}
METRIC_STAT: Mapping[str, Field] = {
    "metric": block(
        {
            "metricName": text(required=True),
            "namespace": text(required=True),
            "dimensions": blocks(DIMENSION, unordered=True),
        },
        required=True,
    ),
    "stat": text(required=True),
    "unit": text(),
}
CUSTOMIZED: Mapping[str, Field] = {
    "dimensions": blocks(DIMENSION, unordered=True),
    "metricName": text(),
    "metrics": blocks(
        {
            "id": text(required=True),
            "expression": text(),
            "label": text(),
            "metricStat": block(METRIC_STAT),
            "returnData": flag(computed=True),
        },
        unordered=True,
    ),
    "namespace": text(),
    "statistic": text(choices=("Average", "Minimum", "Maximum", "SampleCount", "Sum")),
    "unit": text(),
}
TRACKING: Mapping[str, Field] = {
    "targetValue": number(required=True),
    "customizedMetricSpecification": block(CUSTOMIZED),
    "disableScaleIn": flag(computed=True),
    "predefinedMetricSpecification": block({"predefinedMetricType": text(required=True), "resourceLabel": text()}),
    "scaleInCooldown": integer(),
    "scaleOutCooldown": integer(),
}
STEP: Mapping[str, Field] = {
    "adjustmentType": text(choices=("ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity")),
    "cooldown": integer(),
    "metricAggregationType": text(computed=True, choices=("Average", "Minimum", "Maximum")),
    "minAdjustmentMagnitude": integer(),
    "stepAdjustments": blocks(
        {
            "scalingAdjustment": integer(required=True),
            "metricIntervalLowerBound": Field(Kind.DECIMAL),
            "metricIntervalUpperBound": Field(Kind.DECIMAL),
        },
        unordered=True,
    ),
}

RULES: Mapping[str, Rule] = {
    "aws:appautoscaling/target:Target": Rule(
        {
            **TAGGED,
            **WHAT,
            "maxCapacity": integer(required=True),
            "minCapacity": integer(required=True),
            "roleArn": text(computed=True, aws="RoleARN"),
            "suspendedState": block(
                {
                    "dynamicScalingInSuspended": flag(computed=True),
                    "dynamicScalingOutSuspended": flag(computed=True),
                    "scheduledScalingSuspended": flag(computed=True),
                },
                computed=True,
            ),
        },
        outputs=("arn", "tagsAll"),
    ),
    "aws:appautoscaling/policy:Policy": Rule(
        {
            **REGIONAL,
            **WHAT,
            "name": text(replaces=True, aws="PolicyName"),
            "policyType": text(default="StepScaling", choices=("StepScaling", "TargetTrackingScaling")),
            "stepScalingPolicyConfiguration": block(STEP),
            "targetTrackingScalingPolicyConfiguration": block(TRACKING),
        },
        outputs=("alarmArns", "arn"),
        volatile=("alarmArns",),
        name=Name("name", 255, r"[^\x00-\x1f]+", "no control characters"),
        refused={"predictiveScalingPolicyConfiguration": "SageMaker has no predictive scaling"},
    ),
    "aws:appautoscaling/scheduledAction:ScheduledAction": Rule(
        {
            **REGIONAL,
            **WHAT,
            "endTime": text(),
            "name": text(replaces=True, aws="ScheduledActionName"),
            "scalableTargetAction": block({"maxCapacity": integer(), "minCapacity": integer()}, required=True),
            "schedule": text(required=True),
            "startTime": text(),
            "timezone": text(default="UTC"),
        },
        outputs=("arn",),
        name=Name("name", 255, r"[^\x00-\x1f]+", "no control characters"),
    ),
}
