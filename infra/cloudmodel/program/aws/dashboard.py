"""One CloudWatch dashboard: what the endpoint is asked, how it answers, how busy its machines are, which alarms rest.

Source of the body's form: CloudWatch's "Dashboard body structure and syntax". Only CloudWatch can say how it looks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudmodel.program.aws.alarms import Alarms
from cloudmodel.program.aws.asynchronous import BACKLOG
from cloudmodel.program.deployment import VARIANT, Deployment

Widget = dict[str, Any]
REQUESTS, MACHINES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
COLUMNS, WIDTH, HEIGHT = 24, 8, 6
PERIOD = 60
CONSOLE = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""By partition."""


class Dashboard(pulumi.ComponentResource):
    """`url` opens it in AWS's console."""

    url: str

    def __init__(self, deployment: Deployment, alarms: Alarms, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cloudmodel:aws:Dashboard", "dashboard", None, opts)
        aws.cloudwatch.Dashboard(
            "dashboard",
            dashboard_name=deployment.name,
            dashboard_body=pulumi.Output.all(*alarms.arns).apply(lambda arns: body(deployment, arns)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = url(deployment)
        self.register_outputs({"url": self.url})


def url(deployment: Deployment) -> str:
    """Where the console shows it."""
    place = f"{deployment.region}.{CONSOLE[deployment.partition]}"
    return f"https://{place}/cloudwatch/home?region={deployment.region}#dashboards/dashboard/{deployment.name}"


def body(deployment: Deployment, alarms: Sequence[str]) -> str:
    """The dashboard as JSON text, the same bytes for the same deployment; `alarms` are ARNs."""
    graphs = _graphs(deployment)
    widgets = [_placed(index, widget) for index, widget in enumerate(graphs)]
    rows = -(-len(graphs) * WIDTH // COLUMNS)
    shown = {"title": "Alarms", "alarms": sorted(alarms)}
    widgets.append({"type": "alarm", "x": 0, "y": rows * HEIGHT, "width": COLUMNS, "height": 3, "properties": shown})
    return json.dumps({"widgets": widgets}, sort_keys=True)


def _graphs(deployment: Deployment) -> list[Widget]:
    """What SageMaker publishes of an endpoint depends on its mode."""
    match deployment.settings.mode:
        case "serverless":
            return [*_asked(deployment), *_concurrency(deployment)]
        case "async":
            return [*_queue(deployment), *_machines(deployment)]
        case _:
            return [*_asked(deployment), _instances(deployment), *_machines(deployment)]


def _asked(deployment: Deployment) -> list[Widget]:
    errors = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    overhead = _metric(deployment, REQUESTS, "OverheadLatency", "p99", "SageMaker's own p99")
    return [
        _graph(deployment, "Requests a minute", [_metric(deployment, REQUESTS, "Invocations", "Sum", "requests")]),
        _graph(deployment, "Errors a minute", [_metric(deployment, REQUESTS, name, "Sum", name) for name in errors]),
        _latency(deployment, overhead),
    ]


def _latency(deployment: Deployment, *more: list[Any]) -> Widget:
    model = [_metric(deployment, REQUESTS, "ModelLatency", stat, f"model {stat}") for stat in ("p50", "p99")]
    line = deployment.settings.alarms.p99_ms * 1000
    return _graph(deployment, "Latency in microseconds", [*model, *more], line=line)


def _instances(deployment: Deployment) -> Widget:
    instances = [
        # SageMaker counts each request as one over the number of instances under the second name.
        [{"expression": "IF(share > 0, requests / share)", "label": "instances", "id": "instances"}],
        _metric(deployment, REQUESTS, "Invocations", "Sum", "requests", id="requests", visible=False),
        _metric(deployment, REQUESTS, "InvocationsPerInstance", "Sum", "share", id="share", visible=False),
    ]
    return _graph(deployment, "Instances, while requests come", instances)


def _machines(deployment: Deployment) -> list[Widget]:
    machine = deployment.machine
    cores = [
        _metric(deployment, MACHINES, "CPUUtilization", "Average", f"of {machine.vcpu * 100} %"),
        _metric(deployment, MACHINES, "CPUUtilization", "Maximum", "busiest instance"),
    ]
    memory = [
        _metric(deployment, MACHINES, name, "Maximum", label)
        for name, label in (("MemoryUtilization", "memory"), ("DiskUtilization", "disk"))
    ]
    graphs = [
        _graph(deployment, "CPU, summed over cores", cores),
        _graph(deployment, "Memory and disk in percent", memory),
    ]
    if machine.accelerator == "gpu":
        accelerators = [
            _metric(deployment, MACHINES, "GPUUtilization", "Average", f"of {machine.accelerators * 100} %"),
            _metric(deployment, MACHINES, "GPUMemoryUtilization", "Maximum", "memory"),
        ]
        graphs.append(_graph(deployment, "GPU, summed over devices", accelerators))
    return graphs


def _queue(deployment: Deployment) -> list[Widget]:
    waiting = [
        _metric(deployment, REQUESTS, "ApproximateBacklogSize", "Average", "waiting", of_endpoint=True),
        _metric(deployment, REQUESTS, BACKLOG, "Average", "for each instance", of_endpoint=True),
    ]
    age = _metric(deployment, REQUESTS, "ApproximateAgeOfOldestRequest", "Maximum", "oldest", of_endpoint=True)
    return [
        _graph(deployment, "Requests that wait", waiting),
        _graph(deployment, "Age of the oldest in seconds", [age]),
        _graph(
            deployment, "Failures a minute", [_metric(deployment, REQUESTS, "InvocationFailures", "Sum", "failures")]
        ),
        _latency(deployment),
    ]


def _concurrency(deployment: Deployment) -> list[Widget]:
    used = [_metric(deployment, REQUESTS, "ServerlessConcurrentExecutionsUtilization", "Maximum", "of 1")]
    if deployment.settings.serverless.provisioned:
        warm = _metric(
            deployment, REQUESTS, "ServerlessProvisionedConcurrencyUtilization", "Maximum", "of what is warm"
        )
        used.append(warm)
    cold = [_metric(deployment, REQUESTS, "ModelSetupTime", "Maximum", "slowest")]
    memory = [_metric(deployment, MACHINES, "MemoryUtilization", "Maximum", "memory")]
    return [
        _graph(deployment, "Concurrency that is used", used),
        _graph(deployment, "Cold starts in microseconds", cold),
        _graph(deployment, "Memory in percent", memory),
    ]


def _graph(deployment: Deployment, title: str, metrics: list[list[Any]], *, line: float | None = None) -> Widget:
    """A time series; `line` is a threshold that an alarm has."""
    properties: dict[str, Any] = {
        "title": title,
        "region": deployment.region,
        "view": "timeSeries",
        "period": PERIOD,
        "metrics": metrics,
        "yAxis": {"left": {"min": 0}},
    }
    if line is not None:
        properties["annotations"] = {"horizontal": [{"label": "alarm", "value": line}]}
    return {"type": "metric", "properties": properties}


def _metric(
    deployment: Deployment,
    namespace: str,
    name: str,
    stat: str,
    label: str,
    *,
    id: str = "",
    visible: bool = True,
    of_endpoint: bool = False,
) -> list[Any]:
    """One line of a graph, as CloudWatch writes it: namespace, name, pairs of dimensions, how it is drawn."""
    drawn: dict[str, Any] = {"stat": stat, "label": label}
    if id:
        drawn["id"] = id
    if not visible:
        drawn["visible"] = False
    of_variant = () if of_endpoint else ("VariantName", VARIANT)
    return [namespace, name, "EndpointName", deployment.name, *of_variant, drawn]


def _placed(index: int, widget: Widget) -> Widget:
    """The widget at its place: rows of three."""
    row, column = divmod(index, COLUMNS // WIDTH)
    return {**widget, "x": column * WIDTH, "y": row * HEIGHT, "width": WIDTH, "height": HEIGHT}
