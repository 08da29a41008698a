"""What endpoints count of their requests, by the minute, as SageMaker tells CloudWatch. What is looked at: `levels`.

Namespace AWS/SageMaker, dimensions EndpointName and VariantName, and the same once more with EndpointConfigName, by
which a new fleet is told from the old one. Latencies are in microseconds, kept to three digits. A cold start of a
serverless variant is part of OverheadLatency, and counted once more as ModelSetupTime.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cloudmodel.localaws.clock import Clock, moment

NAMESPACE = "AWS/SageMaker"
MINUTE = 60.0
KEPT_MINUTES = 24 * 60
UNITS = dict.fromkeys(("ModelLatency", "OverheadLatency", "ModelSetupTime"), "Microseconds")

Values = Counter[float]
"""How often each value was seen."""


@dataclass(frozen=True)
class Point:
    """One period of one metric; `start` is in seconds since 1970."""

    name: str
    dimensions: Mapping[str, str]
    start: float
    values: Values


@dataclass
class _Minute:
    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    failures: int = 0
    per_instance: float = 0.0
    latencies: Values = field(default_factory=Counter)
    overheads: Values = field(default_factory=Counter)
    setups: Values = field(default_factory=Counter)

    def __add__(self, other: _Minute) -> _Minute:
        return _Minute(
            self.requests + other.requests,
            self.client_errors + other.client_errors,
            self.server_errors + other.server_errors,
            self.failures + other.failures,
            self.per_instance + other.per_instance,
            self.latencies + other.latencies,
            self.overheads + other.overheads,
            self.setups + other.setups,
        )

    def metrics(self) -> dict[str, Values]:
        def share(count: int) -> Values:
            return Counter({value: n for value, n in ((0.0, self.requests - count), (1.0, count)) if n})

        found = {
            "Invocations": share(self.requests),
            "InvocationsPerInstance": Counter({self.per_instance: 1}),
            "Invocation4XXErrors": share(self.client_errors),
            "Invocation5XXErrors": share(self.server_errors),
            "InvocationModelErrors": share(self.failures),
            "ModelLatency": self.latencies,
            "OverheadLatency": self.overheads,
        }
        return found | ({"ModelSetupTime": self.setups} if self.setups else {})


@dataclass(frozen=True)
class Served:
    """Who answered a request: `config` is the endpoint configuration of its fleet, `instances` the variant's size."""

    account: str
    region: str
    endpoint: str
    variant: str
    config: str
    instances: int


class Metrics:
    """Counts of all endpoints. Safe from several threads; it never takes the lock of the backends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minutes: dict[tuple[str, str], dict[tuple[str, str, str], dict[int, _Minute]]] = {}

    def record(self, served: Served, status: int, *, model: float, overhead: float, setup: float) -> None:
        """One request that a model answered with `status`, 0 where it gave no answer; times in seconds, `setup` that of
        a cold start (0: there was none)."""
        number = int(self._clock.now()) // 60
        place = (served.endpoint, served.variant, served.config)
        with self._lock:
            minutes = self._minutes.setdefault((served.account, served.region), {}).setdefault(place, {})
            minute = minutes.get(number)
            if minute is None:
                minute = minutes[number] = _Minute()
                for old in [each for each in minutes if each <= number - KEPT_MINUTES]:
                    del minutes[old]
            minute.requests += 1
            minute.per_instance += 1 / max(served.instances, 1)
            minute.client_errors += 400 <= status < 500
            minute.server_errors += status == 0 or status >= 500
            minute.failures += not 200 <= status < 300
            minute.latencies[_rounded(model * 1e6)] += 1
            minute.overheads[_rounded(overhead * 1e6)] += 1
            if setup:
                minute.setups[_rounded(setup * 1e6)] += 1

    def points(self, account: str, region: str, name: str | None = None, since: float = 0.0) -> Iterator[Point]:
        """All that was counted there since then; of one metric, where it is named."""
        with self._lock:
            kept = {
                place: {number: each + _Minute() for number, each in minutes.items() if number * MINUTE >= since}
                for place, minutes in self._minutes.get((account, region), {}).items()
            }
        together: dict[tuple[str, str], dict[int, _Minute]] = {}
        for (endpoint, variant, config), minutes in kept.items():
            dimensions = {"EndpointName": endpoint, "VariantName": variant}
            for number, minute in minutes.items():
                yield from _points(dimensions | {"EndpointConfigName": config}, number, minute, name)
                whole = together.setdefault((endpoint, variant), {})
                whole[number] = whole.get(number, _Minute()) + minute
        for (endpoint, variant), minutes in together.items():
            for number, minute in minutes.items():
                yield from _points({"EndpointName": endpoint, "VariantName": variant}, number, minute, name)

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._minutes.clear()


class Source(Protocol):
    """Where points come from."""

    def points(self, account: str, region: str, name: str | None = None, since: float = 0.0) -> Iterator[Point]:
        """All of an account and region since then; of one metric, where it is named."""


def tell_moto(*sources: Source) -> type:
    """Let moto's CloudWatch know of them; it does as long as the answer is kept."""
    from moto.cloudwatch.models import MetricAggregatedDatum
    from moto.core.common_models import CloudWatchMetricProvider

    def told(account_id: str, region: str) -> list[MetricAggregatedDatum]:
        return [
            MetricAggregatedDatum(
                namespace=NAMESPACE,
                name=point.name,
                min_stat=min(point.values),
                max_stat=max(point.values),
                sample_count=point.values.total(),
                sum_stat=sum(value * count for value, count in point.values.items()),
                dimensions=[{"Name": name, "Value": value} for name, value in point.dimensions.items()],
                timestamp=moment(point.start),
                unit=UNITS.get(point.name, "Count"),
            )
            for source in sources
            for point in source.points(account_id, region)
        ]

    return type("EndpointMetrics", (CloudWatchMetricProvider,), {"get_cloudwatch_metrics": staticmethod(told)})


def _points(dimensions: Mapping[str, str], number: int, minute: _Minute, wanted: str | None) -> Iterator[Point]:
    for name, values in minute.metrics().items():
        if wanted in (None, name):
            yield Point(name, dimensions, number * MINUTE, values)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
