"""What goes with a mode and what does not: each told by its key, before AWS tells it, or does not."""

from __future__ import annotations

from collections.abc import Iterator

from cloudmodel.settings.document import Key
from cloudmodel.settings.model import StackFile

GROUPS = {"serverless": "serverless", "asynchronous": "async"}
"""The groups of settings that belong to one mode, and to which."""


def unfit(settings: StackFile) -> Iterator[tuple[Key, str]]:
    """The keys that do not fit the stack's mode, and why."""
    given = settings.model_fields_set
    for group, mode in GROUPS.items():
        if group in given and settings.mode != mode:
            yield (group,), f"is for stacks whose cloudmodel:mode is {mode}"
    if settings.mode == "serverless":
        yield from _serverless(settings)
    elif settings.mode == "async":
        yield from _asynchronous(settings)
    if settings.variants and settings.mode != "realtime":
        yield (
            ("variants",),
            f"is for real-time endpoints: a stack whose cloudmodel:mode is {settings.mode} has one bundle",
        )
        return
    for each in settings.served:
        if settings.mode != "async" and each.scaling.metric == "backlog":
            yield (*each.keys["scaling"], "metric"), "backlog is for stacks whose cloudmodel:mode is async"


def _serverless(settings: StackFile) -> Iterator[tuple[Key, str]]:
    """AWS's "feature exclusions" of Serverless Inference."""
    given = settings.model_fields_set
    if "instance" in given:
        yield ("instance",), "a serverless endpoint has no instances, and no GPU: leave it out"
    if "scaling" in given:
        yield (
            ("scaling",),
            "a serverless endpoint has no instances: serverless.provisioned_max scales what is kept warm",
        )
    if settings.capture.percent:
        yield ("capture", "percent"), "a serverless endpoint captures no data"
    network = settings.network
    for name in ("vpc", "subnets", "security_groups"):
        if getattr(network, name):
            yield ("network", name), "a serverless endpoint cannot be in a VPC"
    if "isolation" in network.model_fields_set and network.isolation:
        yield ("network", "isolation"), "a serverless endpoint cannot be isolated from the network"
    for name in ("startup", "download"):
        if getattr(settings.timeouts, name) is not None:
            yield ("timeouts", name), "a serverless endpoint has AWS's own limits: 3 minutes to download and start"


def _asynchronous(settings: StackFile) -> Iterator[tuple[Key, str]]:
    scaling = settings.scaling
    if "metric" in scaling.model_fields_set and scaling.metric != "backlog":
        yield (
            ("scaling", "metric"),
            f"AWS publishes no {scaling.metric} of an async endpoint: write backlog, or leave it out",
        )
    if settings.capture.percent:
        yield (
            ("capture", "percent"),
            "is for real-time endpoints: what an async one is asked and answers lies in S3 anyway",
        )
