"""The time of the local AWS: what waits in it (a fleet that bakes, an alarm's period) waits by this clock.

It goes as the machine's does until somebody makes it go faster, stand still, or puts it forward. It never goes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Seconds since 1970, as a float. Safe from several threads. `news` is another number after each `poke`."""

    def __init__(self, real: Callable[[], float] = time.monotonic) -> None:
        self._real = real
        self._changed = threading.Condition()
        self._speed = 1.0
        self.news = 0
        self._then, self._at_then = time.time(), real()

    @property
    def speed(self) -> float:
        """Its seconds in one of the machine's."""
        return self._speed

    def now(self) -> float:
        """What it shows."""
        with self._changed:
            return self._now()

    def today(self) -> datetime:
        """The same, as moto keeps its times: UTC without a zone."""
        return moment(self.now())

    def set(self, *, speed: float | None = None, forward: float = 0.0) -> None:
        """Let it go at `speed` (0: it stands still), and put it forward by that many seconds."""
        with self._changed:
            self._then, self._at_then = self._now() + forward, self._real()
            self._speed = self._speed if speed is None else speed
            self._changed.notify_all()

    def poke(self) -> None:
        """Wake all that wait, to look again at what they wait for."""
        with self._changed:
            self.news += 1
            self._changed.notify_all()

    def wait_until(self, when: float, enough: Callable[[], bool]) -> None:
        """Return when it shows `when`, or as soon as `enough` holds; that is asked whenever something may be new."""
        with self._changed:
            while not enough() and (left := when - self._now()) > 0:
                self._changed.wait(min(left / self._speed, threading.TIMEOUT_MAX) if self._speed else None)

    def _now(self) -> float:
        return self._then + (self._real() - self._at_then) * self._speed


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as moto keeps times."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
