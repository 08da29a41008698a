"""Where Pulumi's own command line is. Loads nothing of Pulumi's SDK."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import UsageError

MANUAL = "curl -fsSL https://get.pulumi.com | sh -s -- --version {version}"


def manual() -> str:
    """The command that installs the CLI by hand, in the version that fits the SDK."""
    return MANUAL.format(version=version("pulumi"))


def find() -> Path | None:
    """The CLI on the PATH, else where the SDK's installer puts it; None for nowhere."""
    installed = Path.home() / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    path = shutil.which("pulumi") or (installed if installed.is_file() else None)
    return Path(path) if path else None


def require() -> Path:
    """The CLI's path. Raises UsageError with the commands that install it."""
    path = find()
    if path is None:
        raise UsageError(
            "the official engine needs Pulumi's command line, and there is none on this machine",
            where="PATH",
            hint=f"cloudmodel engine install, or by hand: {manual()}",
        )
    return path


def describe() -> dict[str, Any]:
    """Whether there is a CLI that answers, where, and what version it says it has."""
    path = find()
    said = None
    if path is not None:
        try:
            answer = subprocess.run([path, "version"], capture_output=True, text=True, timeout=20, check=False)
            said = answer.stdout.strip().removeprefix("v") or None
        except (OSError, subprocess.SubprocessError):
            path = None
    return {"available": path is not None, "path": str(path) if path else None, "version": said}
