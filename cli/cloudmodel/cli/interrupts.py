"""Ctrl-C: the first asks the run to finish what it has begun, the second leaves at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from cloudmodel.cli.exit_codes import CANCELLED
from cloudmodel.cli.output import encode
from cloudmodel.core.errors import Cancelled

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def stoppable(stop: Callable[[], None], *, as_json: bool = False) -> Iterator[None]:
    """While the block runs, the first signal calls `stop` and the second ends the process with exit code 8.

    Leaving at once loses nothing: what the run began stands in its journal, and the next run looks it up.
    Outside the main thread signals keep their usual meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def heard(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            leave(as_json=as_json)
        asked = True
        tell("\nfinishing what runs; press again to leave\n")
        # On a thread of its own: the interrupted code may hold the very lock that `stop` takes.
        threading.Thread(target=stop, name="stop", daemon=True).start()

    before = {number: signal.signal(number, heard) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """While the block runs Ctrl-C does nothing: it says how a command ended, which is over then.

    Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def tell(text: str) -> None:
    """Write past Python's buffers, whose locks the interrupted code may hold."""
    with suppress(OSError):
        os.write(2, text.encode())


def leave(*, as_json: bool) -> None:
    """End the process now."""
    error = Cancelled("left while operations were under way", hint="run the same command again to finish them")
    tell((SHOW_CURSOR if sys.stderr.isatty() else "") + f"error: {error.message}\n  next:  {error.hint}\n")
    if as_json:
        with suppress(OSError):
            os.write(1, (encode(error.as_json()) + "\n").encode())
    os._exit(CANCELLED)
