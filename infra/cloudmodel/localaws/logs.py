"""The output of workers in CloudWatch Logs, as SageMaker puts it there."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import Any

from cloudmodel.localaws.workers import Line

BATCH = 500


@dataclass
class Stream:
    """One log stream that takes lines. `lines` is where the pump finds them."""

    account: str
    region: str
    group: str
    name: str
    pump: Pump
    open: bool = field(default=True)

    @property
    def arn(self) -> str:
        """As SageMaker's ModelError names it."""
        from moto.utilities.utils import get_partition

        return f"arn:{get_partition(self.region)}:logs:{self.region}:{self.account}:log-group:{self.group}"

    def __call__(self, line: Line) -> None:
        """Take one line; returns at once."""
        self.pump.lines.put((self, line))


class Pump:
    """Carries lines into moto's Logs backend from a thread of its own, in batches, under the lock of the backends."""

    def __init__(self, lock: Any) -> None:
        self.lines: queue.SimpleQueue[tuple[Stream, Line] | threading.Event] = queue.SimpleQueue()
        self._lock = lock
        threading.Thread(target=self._run, name="logs", daemon=True).start()

    def flush(self) -> None:
        """Return when everything said before is in CloudWatch. Never call it with the lock of the backends held."""
        done = threading.Event()
        self.lines.put(done)
        done.wait()

    def _run(self) -> None:
        while True:
            batch = [self.lines.get()]
            while len(batch) < BATCH:
                try:
                    batch.append(self.lines.get_nowait())
                except queue.Empty:
                    break
            events: dict[int, tuple[Stream, list[Line]]] = {}
            for item in batch:
                if not isinstance(item, threading.Event):
                    stream, line = item
                    events.setdefault(id(stream), (stream, []))[1].append(line)
            with self._lock:
                for stream, lines in events.values():
                    if stream.open:
                        self._write(stream, lines)
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()

    def _write(self, stream: Stream, lines: list[Line]) -> None:
        from moto.logs.models import logs_backends

        backend = logs_backends[stream.account][stream.region]
        backend.ensure_log_group(stream.group)
        backend.ensure_log_stream(stream.group, stream.name)
        events = [{"timestamp": when, "message": message} for when, message in sorted(lines) if message]
        if events:
            backend.put_log_events(stream.group, stream.name, events)
