"""A project that was optimized, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-c", "from cloudmodel.cli.main import run; run()"]


@dataclass(frozen=True)
class Optimized:
    """A project, and the document that `optimize` printed."""

    folder: Path
    document: dict[str, Any]


def cloudmodel(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, without settings of this machine."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CLOUDMODEL_", "AWS_"))}
    place = ["-C", str(folder)] if folder else []
    return subprocess.run(
        [*COMMAND, *words, *place], capture_output=True, text=True, timeout=900, check=False, env=kept
    )
