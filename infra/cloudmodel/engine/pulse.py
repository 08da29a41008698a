"""A lock that is held shows that its holder lives: it is renewed every minute, and one that was not for five minutes is
a dead run's, whatever machine it was on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from cloudmodel.core.errors import CloudmodelError, StackLocked

EVERY = 60.0
"""Seconds between two signs of life."""
SILENT = 300.0
"""Seconds without one, after which a run is over: four may be lost on the way."""


class Pulse:
    """Calls `renew` every minute, on a thread of its own, from now to `stop`; `lost` once where the lock is not ours
    any more (`renew` raises StackLocked), and nothing after it. `wait` takes the seconds and says whether that is
    all."""

    def __init__(
        self, renew: Callable[[], None], lost: Callable[[], None], wait: Callable[[float], bool] | None = None
    ) -> None:
        self._stopped = threading.Event()
        self._renew, self._lost, self._wait = renew, lost, wait or self._stopped.wait
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()

    def _beat(self) -> None:
        while not self._wait(EVERY):
            try:
                self._renew()
            except StackLocked:
                if not self._stopped.is_set():  # given back while it was looked for
                    self._lost()
                return
            except (CloudmodelError, OSError):
                continue  # a store that does not answer now may at the next
