"""What the settings know and the program does not do yet: refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cloudmodel.settings.document import Key
from cloudmodel.settings.model import StackFile

DONE: Mapping[str, tuple[Any, ...]] = {
    "cloud": ("aws",),
    "mode": ("realtime", "serverless", "async"),
    "policies.level": ("advisory",),
    "policies.exempt": ((),),
}
"""For each key that is not done in full: the values that are."""


def refused(settings: StackFile) -> Iterator[tuple[Key, str]]:
    """The keys whose values this version does not carry out, and what to say of them."""
    for path, done in DONE.items():
        key = tuple(path.split("."))
        value: Any = settings
        for part in key:
            value = getattr(value, part)
        if value not in done:
            words = [str(each).lower() for each in done if each not in ((), None)]
            way_out = f"write {' or '.join(words)}" if words else "leave it out"
            yield key, f"is not built in this version of cloudmodel; {way_out}"
