"""The state that a local stack may have on the engine that a run is not for: each engine keeps its own."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from cloudmodel.core.files import PRIVATE


def other_engine(folder: Path, project: str, stack: str, engine: str) -> str | None:
    """The engine, as `--engine` calls it, that is not `engine` and whose state names resources of the local stack; None
    where there is none."""
    home = folder / PRIVATE
    kept = {
        "embedded": home / "stacks" / stack / "checkpoint.json",
        "official": home / "official" / ".pulumi" / "stacks" / project / f"{stack}.json",
    }
    return next((name for name, file in kept.items() if name != engine and _has_resources(file)), None)


def _has_resources(checkpoint: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return bool(json.loads(checkpoint.read_bytes())["checkpoint"]["latest"]["resources"])
    return False
