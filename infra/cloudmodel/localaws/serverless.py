"""Serverless variants: no worker until a request needs one, and never more requests at once than they take.

Cold and warm are states here, not times: a variant is cold when it was made or its worker failed, and warm from its
first request on. With provisioned concurrency it is warm before the first one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from cloudmodel.localaws.connections import Connections
from cloudmodel.localaws.workers import Line, Order, Pool, Worker


class OnDemand:
    """A worker of `pool` that is started when a request needs it; looks like one to whoever asks it."""

    def __init__(self, pool: Pool, order: Order, settings: Mapping[str, Any]) -> None:
        self.order = order
        self._pool = pool
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._listener: Callable[[Line], None] | None = None
        self._counting = threading.Lock()  # the other one is held while a worker starts
        self._running = self._busiest = 0
        self.configure(settings)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take the bounds of a `ServerlessConfig`."""
        self.most = settings["MaxConcurrency"]
        self.provisioned = settings.get("ProvisionedConcurrency", 0)

    def enter(self) -> bool:
        """Whether one more request may run now; one that entered must `leave`."""
        with self._counting:
            if self._running >= self.most:
                return False
            self._running += 1
            self._busiest = max(self._busiest, self._running)
            return True

    def leave(self) -> None:
        """End of a request that entered."""
        with self._counting:
            self._running -= 1

    def ran(self) -> tuple[int, int]:
        """The most requests that ran at once since this was asked last, and how many run now."""
        with self._counting:
            busiest, self._busiest = self._busiest, self._running
            return busiest, self._running

    def set_up(self, timeout: float) -> float:
        """Be warm, if it takes no longer; returns the seconds that a cold start took, 0 if warm. Raises NoRoom."""
        began, worker = time.monotonic(), self._worker
        if worker is not None and worker.state == "ready":
            return 0.0
        self._warm().wait(timeout)
        return time.monotonic() - began

    def wait(self, timeout: float) -> str | None:
        """Try the container once, as the platform does: None, or why it is not healthy. Raises NoRoom."""
        reason = self._warm().wait(timeout)
        if reason is not None or not self.provisioned:
            self.close()
        return reason

    def connections(self, timeout: float, dead: Connections | None = None) -> Connections | None:
        """As a worker's; a cold variant is started first. Raises NoRoom."""
        return self._warm().connections(timeout, dead)

    def listen(self, listener: Callable[[Line], None]) -> None:
        """Hand every line of output of every worker to come to `listener`."""
        self._listener = listener

    def unlisten(self, listener: Callable[[Line], None]) -> None:
        """Stop handing lines to `listener`."""
        with self._lock:
            self._listener = None
            if self._worker is not None:
                self._worker.unlisten(listener)

    def close(self) -> None:
        """Be cold: give the worker back."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            if self._listener is not None:
                worker.unlisten(self._listener)
            self._pool.release(worker)

    def _warm(self) -> Worker:
        with self._lock:
            spent = self._worker if self._worker is not None and self._worker.state in ("failed", "stopped") else None
            if spent is not None:
                self._worker = None
            if self._worker is None:
                self._worker = self._pool.acquire(self.order)
                if self._listener is not None:
                    self._worker.listen(self._listener)
            worker = self._worker
        if spent is not None:
            self._pool.release(spent)
        return worker
