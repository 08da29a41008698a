"""A recorder that keeps everything in memory: for previews, and for tests."""

from __future__ import annotations

import threading
from dataclasses import replace

from cloudmodel.engine.state import Key, Mutation, PendingOperation, Resource, State


class MemoryRecorder:
    """Implements `state.Recorder`; nothing it records outlives the process. Safe for several threads."""

    def __init__(self, state: State) -> None:
        self._base = state
        self._entries: dict[Key, Resource] = {entry.key: entry for entry in state.resources}
        self._earlier = list(state.pending)
        self._open: dict[int, PendingOperation] = {}
        self._number = 0
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """The state with everything recorded so far; new entries come last."""
        with self._lock:
            pending = (*self._earlier, *self._open.values())
            return replace(self._base, resources=tuple(self._entries.values()), pending=pending)

    def begin(self, operation: PendingOperation) -> int:
        """Note that a provider call is about to be made."""
        with self._lock:
            self._number += 1
            self._open[self._number] = operation
            return self._number

    def end(self, operation: int, mutation: Mutation) -> None:
        """Note how it ended."""
        with self._lock:
            del self._open[operation]
            self._apply(mutation)

    def write(self, mutation: Mutation) -> None:
        """Note a change that needed no provider call."""
        with self._lock:
            self._apply(mutation)

    def settle(self, operation: PendingOperation, mutation: Mutation) -> None:
        """Resolve what an earlier run left pending."""
        with self._lock:
            self._earlier.remove(operation)
            self._apply(mutation)

    def _apply(self, mutation: Mutation) -> None:
        for key in mutation.drop:
            self._entries.pop(key, None)
        for entry in mutation.put:
            self._entries[entry.key] = entry
