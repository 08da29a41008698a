"""What a pickle would build, as far as a scan follows it: names, small constants, and calls that never happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

KEPT_TEXT = 1024
KEPT_ITEMS = 64


class BrokenPickle(Exception):
    """Bytes that Python's own unpickler would stop at."""


class Opaque:
    """A value of no further interest."""


OPAQUE: Final = Opaque()
MARK: Final = Opaque()


@dataclass(frozen=True, slots=True)
class Global:
    """`module.name`, which the pickle imports."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Call:
    """What calling `callee` with `arguments` would give; `state` is what BUILD would set on it."""

    callee: Any
    arguments: Any
    state: Any = None


@dataclass(slots=True)
class Items:
    """A list, set or dict that is still filled: its first KEPT_ITEMS members. A dict's are (key, value) pairs."""

    kind: str
    kept: list[Any] = field(default_factory=list)

    def add(self, item: Any) -> None:
        """One more member; beyond KEPT_ITEMS it is forgotten."""
        if len(self.kept) < KEPT_ITEMS:
            self.kept.append(item)

    @property
    def whole(self) -> bool:
        """Whether no member was forgotten."""
        return len(self.kept) < KEPT_ITEMS

    def get(self, key: str) -> Any:
        """The last value under a text key; None where there is none."""
        return next((value for name, value in reversed(self.kept) if isinstance(name, str) and name == key), None)
