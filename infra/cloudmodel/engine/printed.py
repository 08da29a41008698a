"""What a program prints is something that it says: masked, and never among the results on stdout."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator


class _Lines(io.TextIOBase):
    """A text stream that hands every finished line to `say`. Safe for several threads."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def end(self) -> None:
        """Hand over a last line that nobody ended."""
        with self._lock:
            rest, self._rest = self._rest, ""
        if rest:
            self._say(rest)


@contextlib.contextmanager
def said(say: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, lines printed to stdout go to `say`, which must not print there itself."""
    lines = _Lines(say)
    try:
        with contextlib.redirect_stdout(lines):
            yield
    finally:
        lines.end()
