"""Property values as a reader sees them: secrets hidden, unknowns named, assets short."""

from __future__ import annotations

import json
from typing import Any

from cloudmodel.core.resource import ARCHIVE, ASSET, SECRET, SIGNATURE, UNKNOWN


def readable(value: Any) -> Any:
    """Plain JSON of a property value: `[secret]`, `[unknown]` and `asset(file:7692c3a)` stand for what is none."""
    if value == UNKNOWN:
        return "[unknown]"
    if isinstance(value, list | tuple):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get(SIGNATURE):
        case None:
            return {str(key): readable(item) for key, item in value.items()}
        case kind if kind == SECRET:
            return "[secret]"
        case kind if kind in (ASSET, ARCHIVE):
            source = next((name for name in ("path", "text", "uri") if value.get(name)), "path")
            name = "archive" if kind == ARCHIVE else "asset"
            return f"{name}({'file' if source == 'path' else source}:{str(value.get('hash', ''))[:7]})"
        case _:
            return "[unknown]"


def shown(value: Any) -> str:
    """One line for a value: strings quoted, except the stand-ins of `readable`."""
    plain = readable(value)
    if isinstance(plain, str) and (
        plain in ("[secret]", "[unknown]") or (plain != value and plain.startswith(("asset(", "archive(")))
    ):
        return plain
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)
