"""Waiting: soon at first, seldom later, never for ever; on a clock that a test holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudmodel.provider.waiters import TookTooLong, Waiter


def after(clock: Any, seconds: float) -> Callable[[], str | None]:
    return lambda: "ready" if clock.now >= seconds else None


def test_what_is_ready_is_not_waited_for(clock: Any) -> None:
    assert clock.waiter.until(after(clock, 0), timeout=10) == "ready"
    assert clock.slept == []


def test_pauses_grow_up_to_the_limit(clock: Any) -> None:
    waiter = Waiter(clock.time, clock.sleep, first=1.0, factor=2.0, most=5.0)
    waiter.until(after(clock, 20), timeout=100)
    assert clock.slept == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_an_endpoint_of_eight_minutes_is_asked_fewer_than_sixty_times(clock: Any) -> None:
    clock.waiter.until(after(clock, 480), timeout=3600)
    assert len(clock.slept) < 60
    assert clock.now - 480 <= 15


def test_it_gives_up_in_time_and_asks_once_more_at_the_end(clock: Any) -> None:
    with pytest.raises(TookTooLong, match="30 s"):
        clock.waiter.until(after(clock, 31), timeout=30)
    assert clock.now == pytest.approx(30)
    clock.now = 0
    assert clock.waiter.until(after(clock, 30), timeout=30) == "ready"


def test_an_error_of_the_question_ends_the_wait(clock: Any) -> None:
    def broken() -> str | None:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        clock.waiter.until(broken, timeout=10)
