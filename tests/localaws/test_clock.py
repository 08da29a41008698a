"""The local AWS's own time: faster, slower, standing still, put forward, and waited for."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from cloudmodel.localaws.clock import Clock


class Machine:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_it_goes_as_it_is_told_and_never_back() -> None:
    machine = Machine()
    clock = Clock(machine)
    start = clock.now()
    machine.seconds += 5
    assert clock.now() == pytest.approx(start + 5)
    clock.set(speed=100)
    machine.seconds += 1
    assert clock.now() == pytest.approx(start + 105)
    clock.set(speed=0, forward=20)
    machine.seconds += 50
    assert clock.now() == pytest.approx(start + 125)
    assert clock.speed == 0


def test_who_waits_is_woken_by_the_time_and_by_news() -> None:
    clock = Clock()
    clock.set(speed=0)
    start, woken = clock.now(), threading.Event()

    def wait(when: float) -> threading.Thread:
        seen = clock.news

        def run() -> None:
            clock.wait_until(when, lambda: clock.news != seen)
            woken.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    waiting = wait(start + 60)
    clock.set(forward=59)
    assert not woken.is_set() and waiting.is_alive()
    clock.set(forward=1)
    waiting.join(60)
    assert woken.is_set()
    waiting = wait(start + 1000)
    clock.poke()
    waiting.join(60)
    assert not waiting.is_alive()
    clock.set(speed=1e6)
    wait(clock.now() + 1000).join(60)


def set_clock(cloud: Any, body: bytes, instance: str | None = None) -> tuple[int, Any]:
    headers = {"x-cloudmodel-instance": instance or cloud.running.instance_id}
    request = urllib.request.Request(cloud.running.endpoint_url + "/_cloudmodel/clock", body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_the_clock_is_set_over_http_by_who_knows_the_instance(cloud: Any) -> None:
    code, first = set_clock(cloud, b'{"speed": 0}')
    assert (code, first["speed"]) == (200, 0)
    assert set_clock(cloud, b'{"forward": 90}') == (200, {"now": first["now"] + 90, "speed": 0})
    assert set_clock(cloud, b'{"forward": 90}', "another")[0] == 403
    for body in (b"[]", b"x", b'{"speed": -1}', b'{"forward": -1}', b'{"forward": 1e400}', b'{"year": 1}'):
        assert set_clock(cloud, body)[0] == 400, body
    assert set_clock(cloud, b"") == (200, {"now": first["now"] + 90, "speed": 0})
