"""Which commit of the project's repository a run is made from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

COMMAND = ("git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA")
"""Where pipelines say it, for checkouts without git."""


def commit_of(folder: Path) -> str:
    """40 hex digits, with `-dirty` behind them where tracked files differ from it; empty where nobody knows."""
    try:
        told = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, timeout=20, check=True)
        return told.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
