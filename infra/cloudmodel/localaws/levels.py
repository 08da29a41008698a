"""What SageMaker looks at from time to time instead of counting it: requests that are with a model, or that wait.

Every ten seconds ConcurrentRequestsPerModel: requests with a variant, queued ones too, for each of its instances. Every
minute the backlog of an asynchronous endpoint: what waits or runs, the same for each instance (nothing where there is
none), and whether something waits without an instance; and how many requests a serverless variant ran at once, as a
share of what it may and of what is kept warm. Names, dimensions and rhythm are those of AWS's guide ("Monitor Amazon
SageMaker AI with Amazon CloudWatch", "Define a scaling policy", "Alarms and logs for tracking metrics from serverless
endpoints"); that what is idle counts 0 is not said there, nor how often concurrency is looked at: here each minute has
its busiest moment.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudmodel.localaws.endpoints import Endpoints, Key
from cloudmodel.localaws.fleet import Fleet
from cloudmodel.localaws.metrics import MINUTE, Point
from cloudmodel.localaws.serverless import OnDemand

OFTEN = 10.0
"""Seconds between two looks at what is with a model: CloudWatch calls that high resolution."""
KEPT = {OFTEN: 3 * 3600.0, MINUTE: 24 * 3600.0}
"""Seconds that levels are kept, by their rhythm; CloudWatch, too, keeps those of high resolution for three hours."""

Dimensions = tuple[tuple[str, str], ...]
Place = tuple[Key, str, Dimensions]
"""Where a level is noted: the endpoint, the metric's name and dimensions."""


@dataclass
class _Run:
    """A level that stayed: seen at `first`, every so many seconds from there on, and at `last`."""

    first: float
    last: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Series:
    account: str
    region: str
    name: str
    dimensions: Dimensions
    rhythm: float


class Levels:
    """Levels of all endpoints. Safe from several threads; it never takes the lock of the backends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[_Series, deque[_Run]] = {}

    def note(self, series: _Series, first: float, last: float, *values: float) -> None:
        """`values` were seen (by several fleets at once) from `first` to `last`, starts of periods."""
        with self._lock:
            runs = self._runs.setdefault(series, deque())
            if runs and runs[-1].values == values and runs[-1].last + series.rhythm == first:
                runs[-1].last = last
            else:
                runs.append(_Run(first, last, values))
            while runs[0].last < last - KEPT[series.rhythm]:
                runs.popleft()

    def points(self, account: str, region: str, name: str | None = None, since: float = 0.0) -> Iterator[Point]:
        """All that was seen there since then; of one metric, where it is named."""
        with self._lock:
            kept = [
                (series, run.first, run.last, run.values)
                for series, runs in self._runs.items()
                if (series.account, series.region) == (account, region) and name in (None, series.name)
                for run in runs
            ]
        for series, first, last, values in kept:
            start = max(first, last - KEPT[series.rhythm], since // series.rhythm * series.rhythm)
            while start <= last:
                if start >= since:
                    yield Point(series.name, dict(series.dimensions), start, Counter(values))
                start += series.rhythm

    def forget(self, key: Key | None = None) -> None:
        """Begin anew; with an endpoint's key, that one's."""
        account, region, name = key or ("", "", "")
        with self._lock:
            for series in list(self._runs):
                if key is None or (
                    (series.account, series.region) == (account, region) and ("EndpointName", name) in series.dimensions
                ):
                    del self._runs[series]


class Looks:
    """Looks at all endpoints. Called under the lock of the backends."""

    def __init__(self, levels: Levels, endpoints: Endpoints, backlog: Callable[[Key], int]) -> None:
        self._levels = levels
        self._endpoints = endpoints
        self._backlog = backlog

    def __call__(self, before: float, now: float) -> None:
        """What is seen now was so since `before`: levels of every period that ended in between. What was busiest was
        so in the first of them."""
        first, last = _periods(OFTEN, before, now)
        self._note(OFTEN, first, last, self._with_models())
        first, last = _periods(MINUTE, before, now)
        if first <= last:
            self._note(MINUTE, first, last, self._waiting())
            busiest, running = self._executions()
            self._note(MINUTE, first, first, busiest)
            self._note(MINUTE, first + MINUTE, last, running)

    def _note(self, rhythm: float, first: float, last: float, seen: Mapping[Place, list[float]]) -> None:
        if last < first:
            return
        for ((account, region, _), name, dimensions), values in seen.items():
            self._levels.note(_Series(account, region, name, dimensions, rhythm), first, last, *values)

    def _executions(self) -> tuple[dict[Place, list[float]], dict[Place, list[float]]]:
        """Of serverless variants, since this was asked last: at their busiest, and now."""
        busiest: dict[Place, list[float]] = {}
        running: dict[Place, list[float]] = {}
        for key, fleet in self._endpoints.fleets():
            for name, worker in ((each.name, each.worker) for each in fleet.variants):
                if isinstance(worker, OnDemand):
                    for seen, count in zip((busiest, running), worker.ran(), strict=True):
                        for metric, value in _concurrency(worker, count).items():
                            for dimensions in _dimensions(key, fleet, name):
                                seen.setdefault((key, metric, dimensions), []).append(value)
        return busiest, running

    def _with_models(self) -> dict[Place, list[float]]:
        seen: dict[Place, list[float]] = {}
        for key, fleet in self._endpoints.fleets():
            for variant in fleet.variants:
                if fleet.queued or isinstance(variant.worker, OnDemand):
                    continue  # such endpoints do not publish it
                value = fleet.asked(variant.name) / max(variant.instances, 1)
                for dimensions in _dimensions(key, fleet, variant.name):
                    seen.setdefault((key, "ConcurrentRequestsPerModel", dimensions), []).append(value)
        return seen

    def _waiting(self) -> dict[Place, list[float]]:
        seen: dict[Place, list[float]] = {}
        for key, fleet in self._endpoints.fleets():
            if fleet.queued:
                size, instances = self._backlog(key), _instances(key)
                of_endpoint = (("EndpointName", key[2]),)
                levels: dict[str, float] = {
                    "ApproximateBacklogSize": size,
                    "HasBacklogWithoutCapacity": bool(size and not instances),
                }
                if instances:
                    levels["ApproximateBacklogSizePerInstance"] = size / instances
                seen |= {(key, name, of_endpoint): [float(value)] for name, value in levels.items()}
        return seen


def _periods(rhythm: float, before: float, now: float) -> tuple[float, float]:
    """The starts of the first and the last period that ended after `before` and by `now`; none did where the last is
    before the first."""
    return before // rhythm * rhythm, now // rhythm * rhythm - rhythm


def _dimensions(key: Key, fleet: Fleet, variant: str) -> tuple[Dimensions, Dimensions]:
    of_variant = (("EndpointName", key[2]), ("VariantName", variant))
    return of_variant, (*of_variant, ("EndpointConfigName", fleet.config))


def _concurrency(worker: OnDemand, count: int) -> dict[str, float]:
    """What `count` requests at once are in SageMaker's metrics."""
    found = {"ServerlessConcurrentExecutionsUtilization": count / worker.most}
    if worker.provisioned:
        found["ServerlessProvisionedConcurrencyExecutions"] = float(count)
        found["ServerlessProvisionedConcurrencyUtilization"] = count / worker.provisioned
    return found


def _instances(key: Key) -> int:
    from moto.sagemaker.models import sagemaker_backends

    account, region, name = key
    endpoint: Any = sagemaker_backends[account][region].endpoints.get(name)
    variants = endpoint.production_variants if endpoint is not None else ()
    return sum(int(each.get("CurrentInstanceCount", 0)) for each in variants)
