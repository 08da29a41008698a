"""A project that was optimized, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

COMMAND = [sys.executable, "-c", "from cloudmodel.cli.main import run; run()"]


@dataclass(frozen=True)
class Optimized:
    """A project, and the document that `optimize` printed."""

    folder: Path
    document: dict[str, Any]


def cloudmodel(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, without settings of this machine."""
    place = ["-C", str(folder)] if folder else []
    return subprocess.run(
        [*COMMAND, *words, *place], capture_output=True, text=True, timeout=900, check=False, env=_environment()
    )


def start(*words: str, folder: Path) -> subprocess.Popen[str]:
    """The same, without waiting for its end."""
    command = [*COMMAND, *words, "-C", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment())


def wait_for(happened: Callable[[], object], running: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait until `happened` says so while a process runs. Fails where the process ends first, or after `seconds`."""
    until = monotonic() + seconds
    while not happened():
        assert running.poll() is None, "it ended too early"
        assert monotonic() < until, "it never happened"
        sleep(0.05)


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(("CLOUDMODEL_", "AWS_"))}
