"""Application Auto Scaling at work: each minute of the local AWS's clock it follows schedules, targets and alarms.

Schedules, cooldowns, step adjustments and what suspends them are the service's ("Application Auto Scaling User Guide").
Target tracking adds after 3 minutes above the target and takes away after 15 below nine tenths of it, as the alarms
show that AWS makes for it; minutes without data say nothing. Metrics of high resolution add after three times ten
seconds, and take away no faster. How far it goes is published nowhere: to what the newest period would need, or the
busiest of the fifteen.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends

from cloudmodel.localaws.alarms import ALARM, Alarms, Wanted
from cloudmodel.localaws.endpoints import Endpoints
from cloudmodel.localaws.levels import OFTEN
from cloudmodel.localaws.metrics import MINUTE, NAMESPACE
from cloudmodel.localaws.scalable import HIGH_RESOLUTION, Key, Place, next_look, often, policies_of, targets_of_all
from cloudmodel.settings.schedule import At, Cron, Rate, parse

LONGEST = 24 * 3600.0
"""A clock that was put forward by more is looked at for its last day only."""
OUT, IN, SLACK = 3, 15, 0.9
USUAL_COOLDOWN = 300
KEPT = 100
PATIENCE = 60.0
REST = 0.01
"""Of the machine's seconds, between two looks of a clock that runs very fast."""
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum"),
    HIGH_RESOLUTION: ("ConcurrentRequestsPerModel", "Average"),
    "SageMakerVariantProvisionedConcurrencyUtilization": ("ServerlessProvisionedConcurrencyUtilization", "Average"),
}
"""What the local AWS counts of the predefined metrics, with its statistic of a period."""


@dataclass
class Memory:
    """When a policy last changed its target, and when a rate began."""

    changed: dict[tuple[Key, str], float] = field(default_factory=dict)
    began: dict[tuple[Key, str], float] = field(default_factory=dict)


class Scaler:
    """All targets of the local AWS. `lock` is the lock of moto's backends; `look_at` (`levels.Looks`) notes what is
    with models and in queues, before it is followed."""

    def __init__(
        self, alarms: Alarms, endpoints: Endpoints, lock: Any, look_at: Callable[[float, float], None]
    ) -> None:
        self._alarms = alarms
        self._look_at = look_at
        self._clock = alarms.clock
        self._endpoints = endpoints
        self._lock = lock
        self._memory = Memory()
        self._activities: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        threading.Thread(target=self._run, name="scaler", daemon=True).start()

    def activities(self, account: str, region: str, resource: str | None) -> list[dict[str, Any]]:
        """What it did, newest first, as DescribeScalingActivities tells it."""
        return [each for each in reversed(self._activities[account, region]) if resource in (None, each["ResourceId"])]

    def forget(self) -> None:
        """Begin anew."""
        self._memory = Memory()
        self._activities.clear()

    def _run(self) -> None:
        seen = self._clock.now() // OFTEN * OFTEN
        while True:
            self._clock.wait_until(seen + OFTEN, lambda: False)
            now = self._clock.now() // OFTEN * OFTEN
            mark = max(seen, now - LONGEST)
            while mark < now:
                with self._lock:
                    targets = list(targets_of_all())
                    before, mark = mark, min(next_look(targets, mark), now)
                    self._look_at(before, mark)
                    busy = [endpoint for key, target in targets for endpoint in self._look(key, target, mark)]
                self._settled(busy)
            if seen // MINUTE < now // MINUTE:
                with self._lock:
                    self._alarms.look_everywhere()
            seen = now
            time.sleep(REST)

    def _settled(self, endpoints: Sequence[Any]) -> None:
        """The next minute finds what this one began: a change of counts takes no time here, but a thread."""
        until = time.monotonic() + PATIENCE
        while any(each.endpoint_status == "Updating" for each in endpoints) and time.monotonic() < until:
            time.sleep(0.005)

    def _look(self, key: Key, target: Any, mark: float) -> Iterator[Any]:
        try:
            yield from self._changed(key, target, mark)
        except Exception:  # of one target; the others scale on
            traceback.print_exc(file=sys.stderr)

    def _changed(self, key: Key, target: Any, mark: float) -> Iterator[Any]:
        """What a minute, or ten seconds of it, change at a target; yields the endpoint where its size does."""
        place = Place.of(key)
        if place is None or place.endpoint.endpoint_status != "InService":
            return
        suspended = target.suspended_state or {}
        due = mark % MINUTE == 0 and not suspended.get("ScheduledScalingSuspended")
        scheduled = due and self._scheduled(key, target, mark)
        wanted, cause = place.capacity, "a scheduled action" if scheduled else ""
        if not scheduled:
            for policy, capacity in self._policies(key, place, mark):
                out = capacity > place.capacity
                if suspended.get("DynamicScalingOutSuspended" if out else "DynamicScalingInSuspended"):
                    continue
                if capacity > wanted or (not out and wanted == place.capacity):
                    wanted, cause = capacity, f"the policy {policy}"
        bounded = min(max(wanted, target.min_capacity), target.max_capacity) if cause else place.capacity
        if bounded == place.capacity:
            return
        if cause.startswith("the policy"):
            self._memory.changed[key, cause] = mark
        self._note(key, bounded, cause, mark)
        self._endpoints.scale(place.backend, place.endpoint, {place.variant: place.sized(bounded)})
        yield place.endpoint

    def _scheduled(self, key: Key, target: Any, mark: float) -> bool:
        """Move the bounds as the actions say that fall due in the minute before `mark`."""
        due = [
            action
            for action in applicationautoscaling_backends[key[0]][key[1]].scheduled_actions
            if (action.scalable_dimension, action.resource_id) == key[2:] and self._due(key, action, mark)
        ]
        for action in due:
            bounds: Any = action.scalable_target_action or {}
            target.update(bounds.get("MinCapacity"), bounds.get("MaxCapacity"), None)
        return bool(due)

    def _due(self, key: Key, action: Any, mark: float) -> bool:
        zone = ZoneInfo(action.timezone or "UTC")
        try:
            schedule = parse(action.schedule)
        except ValueError:  # AWS's cron has signs that are not read here
            return False
        match schedule:
            case Cron():
                return schedule.fires(datetime.fromtimestamp(mark, zone))
            case At(when=when):
                return mark - MINUTE < when.replace(tzinfo=zone).timestamp() <= mark
            case Rate(every=every):
                began = self._memory.began.setdefault((key, action.arn), mark)
                return mark > began and (mark - began) % every.total_seconds() < MINUTE

    def _policies(self, key: Key, place: Place, mark: float) -> Iterator[tuple[str, int]]:
        """Each policy that wants another capacity now, and which; one that only tracks takes away when all do."""
        policies = [each for each in policies_of(key) if mark % MINUTE == 0 or often(each)]
        tracking = [each for each in policies if each.policy_type == "TargetTrackingScaling"]
        wishes = {each.policy_name: self._tracked(key, each, place, mark) for each in tracking}
        for name, capacity in wishes.items():
            if capacity is not None and (
                capacity > place.capacity or all(each is not None and each < place.capacity for each in wishes.values())
            ):
                yield name, capacity
        for policy in policies:
            if policy.policy_type == "StepScaling" and (stepped := self._stepped(key, policy, place, mark)) is not None:
                yield policy.policy_name, stepped

    def _tracked(self, key: Key, policy: Any, place: Place, mark: float) -> int | None:
        said = policy.target_tracking_scaling_policy_configuration
        wanted = self._wanted(said, place)
        if wanted is None:
            return None
        cloudwatch = cloudwatch_backends[key[0]][key[1]]
        goal = float(said["TargetValue"])
        period = OFTEN if often(policy) else MINUTE
        newest = self._alarms.series(cloudwatch, replace(wanted, period=period), mark, OUT)
        if all(each is not None and each > goal for each in newest):
            if self._rests(key, policy, said.get("ScaleOutCooldown"), mark):
                return None
            return math.ceil(place.capacity * (newest[-1] or 0.0) / goal)
        if mark % MINUTE or said.get("DisableScaleIn"):
            return None
        known = [each for each in self._alarms.series(cloudwatch, wanted, mark, IN) if each is not None]
        if len(known) < IN or max(known) >= SLACK * goal or self._rests(key, policy, said.get("ScaleInCooldown"), mark):
            return None
        return math.ceil(place.capacity * max(known) / goal)

    def _wanted(self, said: Mapping[str, Any], place: Place) -> Wanted | None:
        """What a policy tracks, by the minute; None of what the local AWS does not count."""
        if custom := said.get("CustomizedMetricSpecification"):
            dimensions = {each["Name"]: each["Value"] for each in custom.get("Dimensions") or ()}
            return Wanted(
                custom.get("Namespace", ""), custom.get("MetricName", ""), dimensions, MINUTE,
                custom.get("Statistic", "Average"),
            )  # fmt: skip
        kind = said.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if kind not in PREDEFINED:
            return None
        metric, statistic = PREDEFINED[kind]
        dimensions = {"EndpointName": place.endpoint.endpoint_name, "VariantName": place.variant}
        return Wanted(NAMESPACE, metric, dimensions, MINUTE, statistic)

    def _stepped(self, key: Key, policy: Any, place: Place, mark: float) -> int | None:
        """What the alarm of a step policy asks for while it is off."""
        said = policy.step_scaling_policy_configuration
        cloudwatch = cloudwatch_backends[key[0]][key[1]]
        names = [each.name for each in cloudwatch.alarms.values() if policy.policy_arn in (each.alarm_actions or ())]
        off = [name for name, state in self._alarms.look(cloudwatch, names, at=mark).items() if state == ALARM]
        if not off or self._rests(key, policy, said.get("Cooldown"), mark):
            return None
        alarm = cloudwatch.alarms[off[0]]
        newest = self._alarms.points(cloudwatch, alarm, mark)[-1]
        beyond = (newest if newest is not None else alarm.threshold) - alarm.threshold
        for step in said.get("StepAdjustments") or ():
            least = step.get("MetricIntervalLowerBound", -math.inf)
            if least <= beyond < step.get("MetricIntervalUpperBound", math.inf):
                return _adjusted(place.capacity, said.get("AdjustmentType"), step["ScalingAdjustment"])
        return None

    def _rests(self, key: Key, policy: Any, cooldown: int | None, mark: float) -> bool:
        last = self._memory.changed.get((key, f"the policy {policy.policy_name}"))
        return last is not None and mark - last < (USUAL_COOLDOWN if cooldown is None else cooldown)

    def _note(self, key: Key, capacity: int, cause: str, mark: float) -> None:
        kept = self._activities[key[0], key[1]]
        what = "provisioned concurrency" if key[2].endswith("ProvisionedConcurrency") else "instance count"
        kept.append(
            {
                "ActivityId": str(uuid4()),
                "ServiceNamespace": "sagemaker",
                "ResourceId": key[3],
                "ScalableDimension": key[2],
                "Description": f"Setting desired {what} to {capacity}.",
                "Cause": cause,
                "StartTime": mark,
                "EndTime": mark,
                "StatusCode": "Successful",
            }
        )
        del kept[:-KEPT]


def _adjusted(capacity: int, kind: str | None, by: int) -> int:
    if kind == "ExactCapacity":
        return by
    if kind == "PercentChangeInCapacity":
        change = capacity * by / 100
        return capacity + (math.ceil(change) if change > 0 else math.floor(change))
    return capacity + by
