"""The one register of a run's secret plaintexts, and the one function that hides them (I12)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from cloudmodel.engine.values import nodes, plain, secrets_in

MASK = "[secret]"
SHORTEST = 3
SHORTEST_LINE = 8


class Masker:
    """Knows every secret that a run met. What is printed, logged or raised goes through `mask`.

    Texts under three characters are not masked: they would hide every other word. Safe for several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, value: Any) -> None:
        """Remember the plaintext of every secret inside `value`."""
        for found in secrets_in(value):
            self.add(found)

    def add(self, value: Any) -> None:
        """Remember `value` itself, and every text or number in it, as secret."""
        texts = {form for node in nodes(plain(value)) for form in forms(node)}
        with self._lock:
            if not texts <= self._texts:
                self._texts |= texts
                self._pattern = None

    def mask(self, text: str) -> str:
        """`text` with every secret in it hidden, however it was quoted."""
        with self._lock:
            if not self._texts:
                return text
            if self._pattern is None:
                longest_first = sorted(self._texts, key=lambda known: (-len(known), known))
                self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            pattern = self._pattern
        return pattern.sub(MASK, text)

    def masked(self, value: Any) -> Any:
        """A JSON value with `mask` applied to every text in it, keys too."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask(key): self.masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.masked(item) for item in value]
        return value


def forms(node: Any) -> Iterator[str]:
    """A secret as it may stand in a text: whole, each longer line of it, and as JSON, Python and addresses quote it."""
    if isinstance(node, bool) or not isinstance(node, str | int | float):
        return
    text = str(node)
    lines = [line.strip() for line in text.splitlines()]
    for piece in (text, text.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)):
        for form in (piece, json.dumps(piece)[1:-1], repr(piece)[1:-1], quote(piece, safe="")):
            if len(form) >= (SHORTEST if isinstance(node, str) else SHORTEST + 1):
                yield form
