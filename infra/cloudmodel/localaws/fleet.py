"""What answers for an endpoint: the workers of its variants, and the requests that are with them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cloudmodel.localaws.logs import Stream
from cloudmodel.localaws.serverless import OnDemand
from cloudmodel.localaws.workers import Worker


@dataclass(frozen=True)
class Variant:
    """A production variant that serves."""

    name: str
    weight: float
    instances: int
    worker: Worker | OnDemand
    stream: Stream


class Fleet:
    """What answers for an endpoint. Requests `enter` and `leave`; after `close` none enters any more.

    `config` is the name of the endpoint configuration that it was made from, `capture` that one's DataCaptureConfig,
    empty where it has none. `queued`: requests come through S3 and a queue, and not otherwise.
    """

    def __init__(
        self, config: str, variants: tuple[Variant, ...], capture: Mapping[str, Any], *, queued: bool = False
    ) -> None:
        self.config = config
        self.variants = variants
        self.capture = capture
        self.queued = queued
        self._credit: dict[str, float] = {}
        self._asked: Counter[str] = Counter()
        self._active = 0
        self._closed = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Whether this fleet takes one more request."""
        with self._changed:
            if self._closed:
                return False
            self._active += 1
            return True

    def leave(self) -> None:
        """End of a request that entered."""
        with self._changed:
            self._active -= 1
            self._changed.notify_all()

    @contextmanager
    def asking(self, variant: str) -> Iterator[None]:
        """A request is with the model of a variant."""
        with self._changed:
            self._asked[variant] += 1
        try:
            yield
        finally:
            with self._changed:
                self._asked[variant] -= 1

    def asked(self, variant: str) -> int:
        """How many requests are with the model of a variant now."""
        with self._changed:
            return self._asked[variant]

    def choose(self, wanted: str | None) -> Variant | None:
        """The variant that a request names, else the one whose turn it is; None where there is none.

        Turns follow the weights as evenly as they can (smooth weighted round robin): of 4 requests at 3 to 1 the
        second variant has exactly one. SageMaker draws lots; on average that is the same.
        """
        with self._changed:
            variants = self.variants
            if wanted is not None:
                return next((variant for variant in variants if variant.name == wanted), None)
            total = sum(variant.weight for variant in variants)
            if not total:
                return None
            for variant in variants:
                self._credit[variant.name] = self._credit.get(variant.name, 0.0) + variant.weight
            chosen = max(variants, key=lambda variant: self._credit[variant.name])
            self._credit[chosen.name] -= total
            return chosen

    def close(self, timeout: float) -> None:
        """Let nobody in, and return when the last one has left or after `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._active, timeout)
