"""`cloudmodel engine`: the engines that carry out a deployment."""

from __future__ import annotations

import subprocess

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

BACKENDS = (
    "state of the official engine: file:// and s3:// are tested; Pulumi's service and other backends are passed "
    "through, untested"
)


@click.group("engine", context_settings=options.SETTINGS)
def command() -> None:
    """The deployment engines: status, install."""


@options.verb("status", group=command)
def status(context: Context) -> None:
    """Both engines: the embedded one of this package, and Pulumi's official CLI."""
    from importlib.metadata import version

    from cloudmodel.cli.output import emit, say, table
    from cloudmodel.deploy.official.cli import describe

    official = describe()
    found = {
        "embedded": {"available": True, "version": version("cloudmodel"), "sdk": version("pulumi")},
        "official": official,
    }
    if context.json:
        emit("engine-status", {"engines": found, "backends": {"tested": ["file", "s3"], "untested": ["service"]}})
        return
    rows = [
        ("embedded", f"cloudmodel {version('cloudmodel')}", f"Pulumi's SDK {version('pulumi')}, in process"),
        (
            "official",
            f"pulumi {official['version']}" if official["available"] else "not found",
            str(official["path"] or "cloudmodel engine install"),
        ),
    ]
    say(table(("ENGINE", "VERSION", "WHERE"), rows))
    say(f"\n{BACKENDS}")


@options.verb("install", group=command)
def install(context: Context) -> None:
    """Install Pulumi's official CLI with the SDK's own installer, in the version that fits the SDK."""
    from pulumi.automation import PulumiCommand

    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError
    from cloudmodel.deploy.official.cli import manual

    try:
        installed = PulumiCommand.install()
    except (OSError, subprocess.SubprocessError) as failed:
        output = getattr(failed, "output", None)
        said = output.decode(errors="replace").strip() if isinstance(output, bytes) else str(failed)
        raise UsageError(
            f"the installer of Pulumi's CLI did not get through: {said}",
            where="https://get.pulumi.com",
            hint=f"install it by hand: {manual()}",
        ) from failed
    if context.json:
        emit("engine-install", {"path": installed.command, "version": str(installed.version)})
    else:
        say(f"installed pulumi {installed.version}: {installed.command}")
