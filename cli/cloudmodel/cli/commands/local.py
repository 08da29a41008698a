"""`cloudmodel local`: the local AWS of a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import PRIVATE, Context

if TYPE_CHECKING:
    from cloudmodel.localaws.server import Running

DEFAULT_REGION = "us-east-1"
region_option = click.option("--region", metavar="REGION", help="[default: the selected stack's, else us-east-1]")
port_option = click.option("--port", type=click.IntRange(1, 65535), metavar="PORT", help="[default: a free one]")


@click.group("local", context_settings=options.SETTINGS)
def command() -> None:
    """The local AWS: start, stop, status, reset. Any access key is accepted; it forgets everything when it ends."""


@options.verb("start", group=command)
@region_option
@port_option
def start(context: Context, region: str | None, port: int | None) -> None:
    """Start it, where it is not running yet."""
    folder = context.project().folder
    _show(context, "local-start", _started(context, folder, region, port))


@options.verb("stop", group=command)
def stop(context: Context) -> None:
    """End it and everything it runs."""
    from cloudmodel.cli.output import emit, say
    from cloudmodel.localaws import server

    stopped = server.stop(home(context.project().folder))
    if context.json:
        emit("local-stop", {"stopped": stopped})
    else:
        say("stopped the local AWS" if stopped else "the local AWS was not running")


@options.verb("status", group=command)
def status(context: Context) -> None:
    """Whether it runs, where, and the endpoints it serves."""
    from cloudmodel.localaws import server

    _show(context, "local-status", server.status(home(context.project().folder)))


@options.verb("reset", group=command)
@region_option
@port_option
def reset(context: Context, region: str | None, port: int | None) -> None:
    """End it and start an empty one."""
    from cloudmodel.localaws import server

    folder = context.project().folder
    before = server.status(home(folder))
    server.stop(home(folder))
    _show(context, "local-reset", _started(context, folder, region or (before.region if before else None), port))


def home(folder: Path) -> Path:
    """Where the local AWS of a project lives."""
    return folder / PRIVATE / "local"


def _started(context: Context, folder: Path, region: str | None, port: int | None) -> Running:
    from cloudmodel.core.errors import CloudmodelError
    from cloudmodel.localaws import server

    if region is None:
        from cloudmodel.cli.context import stack_name
        from cloudmodel.settings.load import load_stack

        try:
            project = context.project()
            region = load_stack(project, stack_name(project, None)).region
        except CloudmodelError:
            region = DEFAULT_REGION
    return server.start(home(folder), region=region, port=port)


def _show(context: Context, verb: str, running: Running | None) -> None:
    from cloudmodel.cli.output import emit, say

    found: dict[str, Any] = {
        "running": running is not None,
        "endpoint_url": running.endpoint_url if running else None,
        "pid": running.pid if running else None,
        "region": running.region if running else None,
        "endpoints": [],
    }
    if running is not None:
        from cloudmodel.operate.invoke import Address, endpoints

        found["endpoints"] = endpoints(Address(running.region, running.endpoint_url))
    if context.json:
        emit(verb, found)
    elif running is None:
        say("the local AWS is not running")
    else:
        say(f"the local AWS runs at {running.endpoint_url} (region {running.region}, pid {running.pid})")
        for endpoint in found["endpoints"]:
            say(f"    {endpoint['name']}: {endpoint['status']}")
