"""`cloudmodel engine`: the engines that carry out a deployment."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

MANUAL = "curl -fsSL https://get.pulumi.com | sh -s -- --version {version}"


@click.group("engine", context_settings=options.SETTINGS)
def command() -> None:
    """The deployment engines: status, install."""


@options.verb("status", group=command)
def status(context: Context) -> None:
    """Both engines: the embedded one of this package, and Pulumi's official CLI."""
    from importlib.metadata import version

    from cloudmodel.cli.output import emit, say, table

    official = official_cli()
    found = {
        "embedded": {"available": True, "version": version("cloudmodel"), "sdk": version("pulumi")},
        "official": official,
    }
    if context.json:
        emit("engine-status", {"engines": found})
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


@options.verb("install", group=command)
def install(context: Context) -> None:
    """Install Pulumi's official CLI with the SDK's own installer, in the version that fits the SDK."""
    from importlib.metadata import version

    from pulumi.automation import PulumiCommand

    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError

    try:
        installed = PulumiCommand.install()
    except (OSError, subprocess.SubprocessError) as failed:
        output = getattr(failed, "output", None)
        said = output.decode(errors="replace").strip() if isinstance(output, bytes) else str(failed)
        raise UsageError(
            f"the installer of Pulumi's CLI did not get through: {said}",
            where="https://get.pulumi.com",
            hint=f"install it by hand: {MANUAL.format(version=version('pulumi'))}",
        ) from failed
    if context.json:
        emit("engine-install", {"path": installed.command, "version": str(installed.version)})
    else:
        say(f"installed pulumi {installed.version}: {installed.command}")


def official_cli() -> dict[str, Any]:
    """Where Pulumi's CLI is and what version it says it has: on the PATH, else where the SDK's installer puts it."""
    import shutil
    from importlib.metadata import version

    installed = Path.home() / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    path = shutil.which("pulumi") or (str(installed) if installed.is_file() else None)
    said = None
    if path is not None:
        try:
            answer = subprocess.run([path, "version"], capture_output=True, text=True, timeout=20, check=False)
            said = answer.stdout.strip().removeprefix("v") or None
        except (OSError, subprocess.SubprocessError):
            path = None
    return {"available": path is not None, "path": path, "version": said}
