"""CloudWatch's alarms in moto's plugin shape: they move with the data, by the local AWS's own clock.

An alarm is judged each minute and when somebody looks at it, over the whole periods that ended by then. The words OK,
ALARM and INSUFFICIENT_DATA, and what missing data mean, are CloudWatch's ("Using Amazon CloudWatch alarms"). It does
not look further back than the periods that count, which CloudWatch does where data are missing.
"""

from __future__ import annotations

import operator
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult, EmptyResult

from cloudmodel.localaws import metric_math, notices
from cloudmodel.localaws.clock import Clock
from cloudmodel.localaws.metrics import NAMESPACE, Source, Values

OK, ALARM, NO_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
SETTLES = 60.0
PERCENTILE = re.compile(r"p\d{1,3}(\.\d+)?")
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True)
class Wanted:
    """One statistic of one metric. `period` is in seconds."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    period: float
    statistic: str


def statistic(values: Values, name: str) -> float | None:
    """Sum, Average, Minimum, Maximum, SampleCount or a percentile such as p99 (by nearest rank); None of nothing."""
    count = values.total()
    if not count:
        return None
    whole = sum(value * seen for value, seen in values.items())
    known = {"Sum": whole, "Average": whole / count, "SampleCount": float(count)}
    known |= {"Minimum": min(values), "Maximum": max(values)}
    if name in known:
        return known[name]
    if not PERCENTILE.fullmatch(name):
        return None
    rank, below = float(name.removeprefix("p")) / 100 * count, 0
    for value in sorted(values):
        below += values[value]
        if below >= rank:
            return value
    return max(values)


def judge(points: Sequence[float | None], alarm: Any, state: str) -> str:
    """What `alarm`, which is in `state`, is after `points`, one a period that counts."""
    compare = COMPARISONS.get(alarm.comparison_operator)
    if compare is None:
        return state
    treatment = alarm.treat_missing_data or "missing"
    known = [compare(point, alarm.threshold) for point in points if point is not None]
    missing = len(points) - len(known)
    breaching = sum(known) + (missing if treatment == "breaching" else 0)
    fine = len(known) - sum(known) + (missing if treatment == "notBreaching" else 0)
    needed = alarm.datapoints_to_alarm or alarm.evaluation_periods
    if breaching >= needed:
        return ALARM
    if fine > len(points) - needed or (fine and not breaching):
        return OK
    return state if treatment == "ignore" else NO_DATA


class Alarms:
    """All alarms of the local AWS. `sources` tell what endpoints count. Everything is called under the lock of the
    backends."""

    def __init__(self, clock: Clock, *sources: Source) -> None:
        self.clock = clock
        self._sources = sources

    def states(self, account: str, region: str, names: Iterable[str], at: float) -> dict[str, str]:
        """What these alarms are at a moment; absent ones are left out."""
        return self.look(cloudwatch_backends[account][region], names, at=at)

    def look(self, backend: Any, names: Iterable[str] | None = None, *, at: float | None = None) -> dict[str, str]:
        """The states of CloudWatch's alarms (of all without `names`) at a moment, now without one."""
        at = self.clock.now() if at is None else at
        found = {}
        for alarm in [
            backend.alarms[name] for name in (backend.alarms if names is None else names) if name in backend.alarms
        ]:
            if alarm.rule is None and at >= getattr(alarm, "held_until", 0.0):
                self._judge(backend, alarm, at)
            found[alarm.name] = alarm.state_value
        return found

    def look_everywhere(self) -> None:
        """Judge all alarms of all accounts and regions now."""
        for _, regions in list(cloudwatch_backends.items()):
            for backend in list(regions.values()):
                try:
                    self.look(backend)
                except Exception:  # the clock goes on for the others
                    traceback.print_exc(file=sys.stderr)

    def hold(self, alarm: Any) -> None:
        """SetAlarmState lasts until CloudWatch looks at the data again."""
        alarm.held_until = (self.clock.now() // SETTLES + 1) * SETTLES
        self.clock.poke()

    def _judge(self, backend: Any, alarm: Any, at: float) -> None:
        points = self.points(backend, alarm, at)
        state = judge(points, alarm, alarm.state_value)
        if state != alarm.state_value:
            shown = ", ".join("missing" if point is None else f"{point:g}" for point in points)
            reason = f"{len(points)} periods: {shown}; {alarm.comparison_operator} {alarm.threshold:g}"
            before = alarm.state_value
            alarm.update_state(reason, "{}", state)
            notices.tell(backend, alarm, before)

    def points(self, backend: Any, alarm: Any, at: float) -> list[float | None]:
        """What an alarm judges at a moment: one value a period that counts, the oldest first."""
        count = alarm.evaluation_periods
        if not alarm.metric_data_queries:
            dimensions = {each.name: each.value for each in alarm.dimensions}
            wanted = Wanted(
                alarm.namespace,
                alarm.metric_name,
                dimensions,
                float(alarm.period),
                alarm.statistic or alarm.extended_statistic,
            )
            return self.series(backend, wanted, at, count)
        series: dict[str, Sequence[float | None]] = {}
        for query in alarm.metric_data_queries:
            if query.metric_stat is not None:
                metric = query.metric_stat.metric
                dimensions = {each.name: each.value for each in metric.dimensions}
                stat = query.metric_stat
                wanted = Wanted(metric.namespace, metric.metric_name, dimensions, float(stat.period), stat.stat)
                series[query.id] = self.series(backend, wanted, at, count)
        answer: Sequence[float | None] = [None] * count
        for query in alarm.metric_data_queries:
            if query.expression:
                try:
                    series[query.id] = metric_math.compute(query.expression, series, count)
                except metric_math.NotUnderstood:  # an id that no query has
                    return [None] * count
            if str(query.return_data).lower() != "false":
                answer = series[query.id]
        return list(answer)

    def series(self, backend: Any, wanted: Wanted, at: float, count: int) -> list[float | None]:
        """The last `count` periods that ended by `at`, the oldest first."""
        end = at // min(SETTLES, wanted.period) * min(SETTLES, wanted.period)
        starts = [end - wanted.period * back for back in range(count, 0, -1)]
        values: list[Values] = [Counter() for _ in starts]

        def put(when: float, seen: Values) -> None:
            index = int((when - starts[0]) // wanted.period)
            if 0 <= index < count:
                values[index].update(seen)

        for datum in backend.metric_data:
            if (datum.namespace, datum.name) != (wanted.namespace, wanted.name):
                continue
            if {each.name: each.value for each in datum.dimensions} == wanted.dimensions:
                put(_seconds(datum.timestamp), _values(datum))
        if wanted.namespace == NAMESPACE:
            for source in self._sources:
                for point in source.points(backend.account_id, backend.region_name, wanted.name, starts[0]):
                    if point.dimensions == wanted.dimensions:
                        put(point.start, point.values)
        return [statistic(each, wanted.statistic) for each in values]


class LocalCloudWatch(CloudWatchResponse):
    """Actions by their snake_case names, as moto finds them. `alarms` is set where the parts meet."""

    alarms: ClassVar[Alarms]

    def put_metric_alarm(self) -> ActionResult:
        for query in self._get_param("Metrics", []):
            if query.get("Expression"):
                try:
                    metric_math.parse(query["Expression"])
                except metric_math.NotUnderstood as what:
                    raise ValidationError(f"The local AWS does not compute {what}.") from what
        backend = self.cloudwatch_backend
        before = backend.alarms.get(self._get_param("AlarmName"))
        answer = super().put_metric_alarm()
        alarm: Any = backend.alarms[self._get_param("AlarmName")]
        # An alarm begins without data; one that is changed stays what it is until it is looked at.
        alarm.state_value = before.state_value if before else NO_DATA
        if before:
            alarm.state_reason = before.state_reason
            alarm.history = before.history
        return answer

    def describe_alarms(self) -> ActionResult:
        self.alarms.look(self.cloudwatch_backend)
        return super().describe_alarms()

    def describe_alarms_for_metric(self) -> ActionResult:
        self.alarms.look(self.cloudwatch_backend)
        return super().describe_alarms_for_metric()

    def set_alarm_state(self) -> ActionResult:
        backend = self.cloudwatch_backend
        alarm: Any = backend.alarms.get(self._get_param("AlarmName"))
        before = alarm.state_value if alarm else ""
        answer = super().set_alarm_state()
        self.alarms.hold(alarm)
        notices.tell(backend, alarm, before)
        return answer

    def put_metric_data(self) -> ActionResult:
        today = self.alarms.clock.today()
        data = [{"Timestamp": today, **each} for each in self._get_param("MetricData", [])]
        self.cloudwatch_backend.put_metric_data(self._get_param("Namespace"), data)
        return EmptyResult()


def _seconds(when: datetime) -> float:
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _values(datum: Any) -> Values:
    """Of one datum; a set of statistics is as many values at its mean, with its least and largest among them."""
    if hasattr(datum, "value"):
        return Counter({float(datum.value): 1})
    count = int(datum.sample_count)
    if count < 3 or datum.min == datum.max:
        return Counter({datum.sum / count: count}) if count else Counter()
    rest = (datum.sum - datum.min - datum.max) / (count - 2)
    return Counter({datum.min: 1}) + Counter({datum.max: 1}) + Counter({rest: count - 2})
