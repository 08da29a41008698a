"""`cloudmodel local`: the local AWS of a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context
from cloudmodel.core.files import PRIVATE

if TYPE_CHECKING:
    from cloudmodel.settings.model import StackSettings

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
    from cloudmodel.localaws import server

    folder = context.folder()
    settings = _settings(context)
    local = settings.local if settings else None
    server.start(
        home(folder),
        region=region or (settings.region if settings else DEFAULT_REGION),
        port=port or (local.port if local else None),
        max_workers=local.max_workers if local else server.MAX_WORKERS,
    )
    _show(context, "local-start", folder)


@options.verb("stop", group=command)
def stop(context: Context) -> None:
    """End it and everything it runs."""
    from cloudmodel.cli.output import emit, say
    from cloudmodel.localaws import server

    stopped = server.stop(home(context.folder()))
    if context.json:
        emit("local-stop", {"stopped": stopped})
    else:
        say("stopped the local AWS" if stopped else "the local AWS was not running")


@options.verb("status", group=command)
def status(context: Context) -> None:
    """Whether it runs, where, and the endpoints it serves."""
    _show(context, "local-status", context.folder())


@options.verb("reset", group=command)
def reset(context: Context) -> None:
    """Let the running one forget everything it holds. The next `up` makes it again."""
    from cloudmodel.localaws import server

    folder = context.folder()
    server.reset(home(folder))
    _show(context, "local-reset", folder)


def home(folder: Path) -> Path:
    """Where the local AWS of a project lives."""
    return folder / PRIVATE / "local"


def _settings(context: Context) -> StackSettings | None:
    """The selected stack's, where there is one that can be read: a broken file must not keep the local AWS away."""
    from cloudmodel.cli.context import stack_name
    from cloudmodel.core.errors import StackNotFound, UsageError
    from cloudmodel.settings.load import load_stack

    try:
        project = context.project()
        return load_stack(project, stack_name(project, None))
    except (UsageError, StackNotFound):
        return None


def _show(context: Context, verb: str, folder: Path) -> None:
    from cloudmodel.cli.output import emit, say
    from cloudmodel.localaws import server

    place = home(folder)
    running = server.status(place)
    report: dict[str, Any] = (running and server.report(place)) or {"endpoints": []}
    found = {
        "endpoint_url": running.endpoint_url if running else None,
        "pid": running.pid if running else None,
        "region": running.region if running else None,
    }
    if context.json:
        emit(verb, {**report, **found, "running": running is not None})
    elif running is None:
        say("the local AWS is not running")
    else:
        say(f"the local AWS runs at {running.endpoint_url} (region {running.region}, pid {running.pid})")
        for endpoint in report["endpoints"]:
            say(f"    {endpoint['name']}: {endpoint['status']}")
