"""Alarms on errors, latency and saturation, and the topic that they speak to."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from cloudmodel.core.runbooks import runbook
from cloudmodel.program import policies
from cloudmodel.program.aws.encryption import Encryption
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.variant import Variant

PERIOD = 60
RUNBOOKS = {
    "errors": ("bad-model-live", ("status", "rollback")),
    "latency": ("bad-model-live", ("status", "rollback")),
    "saturation": ("saturation", ("status",)),
}
"""By the alarm's word, the page that its description sends to, and what to run first (CloudWatch takes 1024 characters
of it)."""

PERIODS, BREACHES = 5, 3

REQUESTS = {
    "realtime": (("Invocation5XXErrors", "Sum"), ("Invocations", "Sum")),
    "async": (("InvocationFailures", "Sum"), ("ModelLatency", "SampleCount")),
}
"""By the mode (a serverless endpoint counts as a real-time one): what counts the failures and what the requests, as
metric and statistic. AWS publishes no Invocations of an async endpoint; the model's latencies are one a request."""


class Alarms(pulumi.ComponentResource):
    """E-mail addresses subscribe to the topic; topics that exist already are told directly.

    Each variant has its own. `names` are the alarms' names by what the program calls them, `arns` the variants' alarms'
    ARNs. They are made before the endpoint, which may be told to go back when one of them goes off.
    """

    names: dict[str, pulumi.Output[str]]
    arns: list[pulumi.Output[str]]

    def __init__(
        self, deployment: Deployment, encryption: Encryption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("cloudmodel:aws:Alarms", "alarms", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        topic = aws.sns.Topic(
            "topic",
            name=deployment.name,
            # Not a resource of its own: the topic would then show a policy that it did not ask for.
            policy=policies.topic(deployment),
            kms_master_key_id=encryption.own_arn,
            tags=deployment.tags,
            opts=child,
        )
        notify = deployment.settings.alarms.notify
        for address in sorted(each for each in set(notify) if not each.startswith("arn:")):
            aws.sns.TopicSubscription(
                f"notify-{address}", topic=topic.arn, protocol="email", endpoint=address, opts=child
            )
        actions: list[pulumi.Input[str]] = [topic.arn, *sorted(each for each in set(notify) if each.startswith("arn:"))]
        self.names, self.arns = {}, []
        for variant, (word, description, condition) in (
            (each, condition) for each in deployment.variants for condition in _conditions(deployment, each)
        ):
            name = deployment.alarm_name(word, variant)
            alarm = aws.cloudwatch.MetricAlarm(
                variant.called(f"alarm-{word}"),
                name=name,
                alarm_description=f"{description}. {_next(deployment, word)}",
                comparison_operator="GreaterThanThreshold",
                evaluation_periods=PERIODS,
                datapoints_to_alarm=BREACHES,
                treat_missing_data="notBreaching",
                alarm_actions=actions,
                ok_actions=actions,
                tags=deployment.tags,
                opts=child,
                **condition,
            )
            self.names[name] = alarm.name
            self.arns.append(alarm.arn)
        self.register_outputs({"topic": topic.arn})


def _next(deployment: Deployment, word: str) -> str:
    """What who is woken by an alarm does first: commands that can be typed as they stand, and the page that goes on."""
    page, verbs = RUNBOOKS[word]
    commands = ", then ".join(f"cloudmodel {verb} --stack {deployment.settings.stack}" for verb in verbs)
    return f"Project {deployment.project.name}: {commands}. Runbook: {runbook(page)}"


def _conditions(deployment: Deployment, variant: Variant) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, description and condition of each alarm. ModelLatency is in microseconds."""
    alarms = deployment.settings.alarms
    of_variant = {"EndpointName": deployment.name, "VariantName": variant.name}
    errors, requests = REQUESTS.get(deployment.settings.mode, REQUESTS["realtime"])

    def over_a_minute(counted: tuple[str, str]) -> dict[str, Any]:
        metric, statistic = counted
        return {
            "namespace": "AWS/SageMaker",
            "metric_name": metric,
            "dimensions": of_variant,
            "period": PERIOD,
            "stat": statistic,
        }

    return [
        (
            "errors",
            f"More than {alarms.error_rate:g} % of the requests of a minute ended in a 5xx",
            {
                "threshold": alarms.error_rate,
                "metric_queries": [
                    {
                        "id": "rate",
                        "expression": "IF(requests > 0, 100 * errors / requests, 0)",
                        "label": "5xx in percent",
                        "return_data": True,
                    },
                    {"id": "errors", "metric": over_a_minute(errors), "return_data": False},
                    {"id": "requests", "metric": over_a_minute(requests), "return_data": False},
                ],
            },
        ),
        (
            "latency",
            f"The slowest 1 % of requests take the model longer than {alarms.p99_ms:g} ms",
            {
                "namespace": "AWS/SageMaker",
                "metric_name": "ModelLatency",
                "dimensions": of_variant,
                "period": PERIOD,
                "extended_statistic": "p99",
                "threshold": alarms.p99_ms * 1000,
            },
        ),
        ("saturation", *_saturation(deployment, variant, of_variant)),
    ]


def _saturation(deployment: Deployment, variant: Variant, of_variant: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Description and condition. CPU and GPU utilization are sums over cores and devices, so that a machine's full load
    is 100 times their number; a serverless endpoint has none, and its metric is a share of 1."""
    saturation, machine = deployment.settings.alarms.saturation, variant.machine
    common = {"dimensions": of_variant, "period": PERIOD}
    if deployment.settings.mode == "serverless":
        return f"More than {saturation:g} % of the concurrency is used", {
            **common,
            "namespace": "AWS/SageMaker",
            "metric_name": "ServerlessConcurrentExecutionsUtilization",
            "statistic": "Maximum",
            "threshold": saturation / 100,
        }
    gpu = machine.accelerator == "gpu"
    return f"{'GPUs' if gpu else 'Cores'} are more than {saturation:g} % busy", {
        **common,
        "namespace": "/aws/sagemaker/Endpoints",
        "metric_name": "GPUUtilization" if gpu else "CPUUtilization",
        "statistic": "Average",
        "threshold": saturation * (machine.accelerators if gpu else machine.vcpu),
    }
