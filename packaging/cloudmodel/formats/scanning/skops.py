"""skops: a zip of arrays and a `schema.json` that names the classes to make. They are judged as a pickle's are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning.pickle_names import judge
from cloudmodel.formats.scanning.pickle_values import Global

MAX_SCHEMA = 256 << 20
PLAIN = {("builtins", "NoneType"), ("builtins", "json"), ("json", "JSONDecoder"), ("builtins", "method")}


def scan(text: bytes, where: str) -> list[Finding]:
    """What is wrong with a schema."""
    try:
        document = json.loads(text)
        names = dict.fromkeys(_names(document))
    except (ValueError, RecursionError) as error:
        return [Finding(rule="unreadable", location=where, detail=f"the schema is no JSON: {error}")]
    verdicts = [judge(Global(*name)) for name in names if name not in PLAIN]
    return [Finding(rule=rule, location=where, detail=detail) for rule, detail in filter(None, verdicts)]


def _names(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if "__class__" in value:
            yield str(value.get("__module__")), str(value["__class__"])
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)
