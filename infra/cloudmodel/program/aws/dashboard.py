"""One CloudWatch dashboard: what the endpoint is asked, how it answers, how busy its machines are, which alarms rest.

Source of the body's form: CloudWatch's "Dashboard body structure and syntax". Only CloudWatch can say how it looks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudmodel.program.aws.alarms import Alarms
from cloudmodel.program.aws.asynchronous import BACKLOG
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.variant import Variant

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
    widgets: list[Widget] = []
    row = 0
    for variant in deployment.variants:
        graphs = _graphs(View(deployment, variant))
        widgets += [_placed(index, row, widget) for index, widget in enumerate(graphs)]
        row += -(-len(graphs) * WIDTH // COLUMNS)
    shown = {"title": "Alarms", "alarms": sorted(alarms)}
    widgets.append({"type": "alarm", "x": 0, "y": row * HEIGHT, "width": COLUMNS, "height": 3, "properties": shown})
    return json.dumps({"widgets": widgets}, sort_keys=True)


@dataclass(frozen=True)
class View:
    """What a row of graphs is about: one variant of the endpoint."""

    deployment: Deployment
    variant: Variant

    @property
    def prefix(self) -> str:
        """Before the titles of its graphs, where there are several."""
        return f"{self.variant.name}: " if len(self.deployment.variants) > 1 else ""


def _graphs(view: View) -> list[Widget]:
    """What SageMaker publishes of an endpoint depends on its mode."""
    match view.deployment.settings.mode:
        case "serverless":
            return [*_asked(view), *_concurrency(view)]
        case "async":
            return [*_queue(view), *_machines(view)]
        case _:
            return [*_asked(view), _instances(view), *_machines(view)]


def _asked(view: View) -> list[Widget]:
    errors = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    overhead = _metric(view, REQUESTS, "OverheadLatency", "p99", "SageMaker's own p99")
    return [
        _graph(view, "Requests a minute", [_metric(view, REQUESTS, "Invocations", "Sum", "requests")]),
        _graph(view, "Errors a minute", [_metric(view, REQUESTS, name, "Sum", name) for name in errors]),
        _latency(view, overhead),
    ]


def _latency(view: View, *more: list[Any]) -> Widget:
    model = [_metric(view, REQUESTS, "ModelLatency", stat, f"model {stat}") for stat in ("p50", "p99")]
    line = view.deployment.settings.alarms.p99_ms * 1000
    return _graph(view, "Latency in microseconds", [*model, *more], line=line)


def _instances(view: View) -> Widget:
    instances = [
        # SageMaker counts each request as one over the number of instances under the second name.
        [{"expression": "IF(share > 0, requests / share)", "label": "instances", "id": "instances"}],
        _metric(view, REQUESTS, "Invocations", "Sum", "requests", id="requests", visible=False),
        _metric(view, REQUESTS, "InvocationsPerInstance", "Sum", "share", id="share", visible=False),
    ]
    return _graph(view, "Instances, while requests come", instances)


def _machines(view: View) -> list[Widget]:
    machine = view.variant.machine
    cores = [
        _metric(view, MACHINES, "CPUUtilization", "Average", f"of {machine.vcpu * 100} %"),
        _metric(view, MACHINES, "CPUUtilization", "Maximum", "busiest instance"),
    ]
    memory = [
        _metric(view, MACHINES, name, "Maximum", label)
        for name, label in (("MemoryUtilization", "memory"), ("DiskUtilization", "disk"))
    ]
    graphs = [
        _graph(view, "CPU, summed over cores", cores),
        _graph(view, "Memory and disk in percent", memory),
    ]
    if machine.accelerator == "gpu":
        accelerators = [
            _metric(view, MACHINES, "GPUUtilization", "Average", f"of {machine.accelerators * 100} %"),
            _metric(view, MACHINES, "GPUMemoryUtilization", "Maximum", "memory"),
        ]
        graphs.append(_graph(view, "GPU, summed over devices", accelerators))
    return graphs


def _queue(view: View) -> list[Widget]:
    waiting = [
        _metric(view, REQUESTS, "ApproximateBacklogSize", "Average", "waiting", of_endpoint=True),
        _metric(view, REQUESTS, BACKLOG, "Average", "for each instance", of_endpoint=True),
    ]
    age = _metric(view, REQUESTS, "ApproximateAgeOfOldestRequest", "Maximum", "oldest", of_endpoint=True)
    return [
        _graph(view, "Requests that wait", waiting),
        _graph(view, "Age of the oldest in seconds", [age]),
        _graph(view, "Failures a minute", [_metric(view, REQUESTS, "InvocationFailures", "Sum", "failures")]),
        _latency(view),
    ]


def _concurrency(view: View) -> list[Widget]:
    used = [_metric(view, REQUESTS, "ServerlessConcurrentExecutionsUtilization", "Maximum", "of 1")]
    if view.deployment.settings.serverless.provisioned:
        warm = _metric(view, REQUESTS, "ServerlessProvisionedConcurrencyUtilization", "Maximum", "of what is warm")
        used.append(warm)
    cold = [_metric(view, REQUESTS, "ModelSetupTime", "Maximum", "slowest")]
    memory = [_metric(view, MACHINES, "MemoryUtilization", "Maximum", "memory")]
    return [
        _graph(view, "Concurrency that is used", used),
        _graph(view, "Cold starts in microseconds", cold),
        _graph(view, "Memory in percent", memory),
    ]


def _graph(view: View, title: str, metrics: list[list[Any]], *, line: float | None = None) -> Widget:
    """A time series; `line` is a threshold that an alarm has."""
    properties: dict[str, Any] = {
        "title": view.prefix + title,
        "region": view.deployment.region,
        "view": "timeSeries",
        "period": PERIOD,
        "metrics": metrics,
        "yAxis": {"left": {"min": 0}},
    }
    if line is not None:
        properties["annotations"] = {"horizontal": [{"label": "alarm", "value": line}]}
    return {"type": "metric", "properties": properties}


def _metric(
    view: View,
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
    of_variant = () if of_endpoint else ("VariantName", view.variant.name)
    return [namespace, name, "EndpointName", view.deployment.name, *of_variant, drawn]


def _placed(index: int, above: int, widget: Widget) -> Widget:
    """The widget at its place: rows of three, below the rows `above`."""
    row, column = divmod(index, COLUMNS // WIDTH)
    return {**widget, "x": column * WIDTH, "y": (above + row) * HEIGHT, "width": WIDTH, "height": HEIGHT}
