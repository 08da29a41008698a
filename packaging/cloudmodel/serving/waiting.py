"""The one bounded queue before the model, and the threads that serve it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from cloudmodel.serving.service import Answer, Asked

Answering = Callable[[Sequence[Asked]], Sequence[Answer]]
Entry = tuple[Asked, "asyncio.Future[Answer]"]

BRIEF, LONG = 0.0005, 0.02
"""Seconds. Handing a request to another thread and back costs 0.1 ms of CPU; a model whose predictions are BRIEF, and
of which none was LONG, is asked on the loop's thread."""
REMEMBERED = 16


class Full(Exception):
    """As many requests wait as may."""


class WaitingLine:
    """At most `workers` calls of `answering` at once and `room` requests waiting for one.

    A free worker takes a request at once and never waits for a second one; only where several are waiting already,
    because all workers were busy, does it take up to `most()` of them into one call. A request that is alone, to a
    model that was brief lately, is answered on the caller's own thread.
    """

    def __init__(self, answering: Answering, workers: int, room: int, most: Callable[[], int]) -> None:
        self._answering = answering
        self._limit = workers + room
        self._most = most
        self._waiting: SimpleQueue[Entry | None] = SimpleQueue()
        self._closed = False
        self._lately: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)
        """Seconds and bytes of the last requests."""
        self.held = 0
        """Requests that wait or are being answered; counted on the loop's thread only."""
        self._threads = [
            threading.Thread(target=self._work, name=f"predict {number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def ask(self, asked: Asked) -> Answer:
        """The answer to one request. Raises Full at once where there is no room."""
        if self.held >= self._limit:
            raise Full
        self.held += 1
        try:
            await asyncio.sleep(0)  # requests that came together are counted together
            if self.held == 1 and self._brief(len(asked.body)):
                return self._timed([asked])[0]
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting.put((asked, future))
            return await future
        finally:
            self.held -= 1

    def _brief(self, size: int) -> bool:
        """Whether a request of `size` bytes may hold up the loop."""
        lately = [*self._lately]
        if len(lately) < REMEMBERED or size > 2 * max(each for _, each in lately):
            return False
        seconds = sorted(each for each, _ in lately)
        return seconds[-1] < LONG and seconds[REMEMBERED // 2] < BRIEF

    def _timed(self, asked: Sequence[Asked]) -> Sequence[Answer]:
        began = time.perf_counter()
        answers = self._answering(asked)
        self._lately.append((time.perf_counter() - began, sum(len(each.body) for each in asked)))
        return answers

    def close(self) -> None:
        """End the threads; what runs is finished first, what still waits is dropped."""
        self._closed = True
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None and not self._closed:
            taken = [entry]
            with contextlib.suppress(Empty):
                while len(taken) < self._most() and (another := self._waiting.get_nowait()) is not None:
                    taken.append(another)
            answers = self._timed([asked for asked, _ in taken])
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
                entry[1].get_loop().call_soon_threadsafe(_tell, [future for _, future in taken], answers)


def _tell(futures: Sequence[asyncio.Future[Answer]], answers: Sequence[Answer]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():  # its client is gone
            future.set_result(answer)
