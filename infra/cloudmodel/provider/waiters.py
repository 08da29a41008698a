"""Waiting for a cloud to finish, with a clock that a test can hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Found = TypeVar("Found")


class TookTooLong(Exception):
    """The condition did not come true in its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not done after {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Waiter:
    """Asks again and again, first soon and then more seldom: `first` seconds, then `factor` times longer up to `most`.

    A cloud on this machine is ready in a second and is asked every fraction of one; an endpoint that takes eight
    minutes is asked every `most` seconds, far below what SageMaker throttles (D18).
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    first: float = 0.1
    factor: float = 1.4
    most: float = 15.0

    def until(self, ask: Callable[[], Found | None], *, timeout: float) -> Found:
        """The first answer of `ask` that is not None. Raises TookTooLong after `timeout` seconds."""
        deadline = self.clock() + timeout
        pause = self.first
        while (found := ask()) is None:
            left = deadline - self.clock()
            if left <= 0:
                raise TookTooLong(timeout)
            self.sleep(min(pause, left))
            pause = min(pause * self.factor, self.most)
        return found
