"""How an endpoint moves to another fleet: in stages, each watched, and back when an alarm goes off meanwhile.

Stages, sizes and words are those of SageMaker's deployment guardrails (its developer guide, and the example events of
"SageMaker endpoint deployment state change"). What SageMaker writes into FailureReason after a rollback is published
nowhere: those sentences are ours.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cloudmodel.localaws.alarms import ALARM, Alarms
from cloudmodel.localaws.clock import moment

LOOK = 60.0
LONGEST = 28800.0
MOST = 0.5
LEAST = {"canary_size": 0.0, "linear_step_size": 0.1, "maximum_batch_size": 0.05}
"""Of the fleet: the smallest share that a step may be; the largest is MOST."""

F = TypeVar("F")


class Unfit(ValueError):
    """A deployment configuration that SageMaker does not take; the message says why."""


@dataclass(frozen=True)
class Stage:
    """A share of the traffic goes to the new fleet, which is then watched for `wait` seconds."""

    share: float
    wait: float
    capacity: str
    named: str


@dataclass(frozen=True)
class Plan:
    """`alarms` are names; `longest` are the seconds after which the deployment is given up."""

    stages: tuple[Stage, ...]
    alarms: tuple[str, ...] = ()
    longest: float = LONGEST


AT_ONCE = Plan((Stage(1.0, 0.0, "full capacity", "TerminationWaitInSeconds"),))


def plan(deployment: Mapping[str, Any] | None, instances: Sequence[int]) -> Plan:
    """What a DeploymentConfig asks for, on variants of these sizes (none for serverless ones). Raises Unfit."""
    deployment = deployment or {}
    blue_green, rolling = deployment.get("BlueGreenUpdatePolicy"), deployment.get("RollingUpdatePolicy")
    if blue_green and rolling:
        raise Unfit("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
    if rolling and len(instances) != 1:
        raise Unfit("Rolling deployments are not supported for serverless and multi-variant endpoints.")
    if not instances:
        return AT_ONCE
    count = min(instances)
    stages = _rolling(rolling, count) if rolling else _blue_green(blue_green, count)
    policy = rolling or blue_green or {}
    longest = float(policy.get("MaximumExecutionTimeoutInSeconds") or LONGEST)
    waits = sum(stage.wait for stage in stages)
    if waits >= longest:
        raise Unfit(f"MaximumExecutionTimeoutInSeconds must be larger than all waits, which are {waits:g} seconds.")
    alarms = (deployment.get("AutoRollbackConfiguration") or {}).get("Alarms") or []
    return Plan(stages, tuple(alarm["AlarmName"] for alarm in alarms if alarm.get("AlarmName")), longest)


def _blue_green(policy: Mapping[str, Any] | None, count: int) -> tuple[Stage, ...]:
    if not policy:
        return AT_ONCE.stages
    routing = policy["TrafficRoutingConfiguration"]
    wait, last = float(routing["WaitIntervalInSeconds"]), float(policy.get("TerminationWaitInSeconds") or 0)
    kind, canary, linear = routing["Type"], routing.get("CanarySize"), routing.get("LinearStepSize")
    if (kind == "CANARY") != bool(canary) or (kind == "LINEAR") != bool(linear):
        raise Unfit(
            "CanarySize belongs to CANARY traffic routing and LinearStepSize to LINEAR, and each needs its own."
        )
    end = Stage(1.0, last, f"full capacity of {count} instance(s)", "TerminationWaitInSeconds")
    if kind == "CANARY":
        size = _instances(canary, count, "canary_size")
        return (Stage(size / count, wait, f"canary capacity of {size} instance(s)", "WaitIntervalInSeconds"), end)
    if kind == "LINEAR":
        size = _instances(linear, count, "linear_step_size")
        return (*_steps(size, count, wait)[:-1], end)
    return (end,)


def _rolling(policy: Mapping[str, Any], count: int) -> tuple[Stage, ...]:
    size = _instances(policy["MaximumBatchSize"], count, "maximum_batch_size")
    return _steps(size, count, float(policy["WaitIntervalInSeconds"]))


def _steps(size: int, count: int, wait: float) -> tuple[Stage, ...]:
    active = [min(size * number, count) for number in range(1, math.ceil(count / size) + 1)]
    return tuple(
        Stage(each / count, wait, f"capacity of {each} instance(s)", "WaitIntervalInSeconds") for each in active
    )


def _instances(size: Mapping[str, Any], count: int, kind: str) -> int:
    """How many instances a step is: percents are rounded up to whole ones."""
    value, least = size["Value"], LEAST[kind]
    share = value / 100 if size["Type"] == "CAPACITY_PERCENT" else value / count
    number: int = math.ceil(share * count - 1e-9)
    if not least <= share <= MOST or count < 2:
        raise Unfit(
            f"A step must be {least:.0%} to {MOST:.0%} of the variant's {count} instance(s), and {value} "
            f"({size['Type']}) is not."
        )
    return min(number, count - 1)


class Shift(Generic[F]):
    """A new fleet that gets a share of the requests: of ten in a row it gets three, where the share is 0.3."""

    def __init__(self, fleet: F) -> None:
        self.fleet = fleet
        self.share = 0.0
        self._credit = 0.0
        self._lock = threading.Lock()

    def turns(self) -> bool:
        """Whether the next request is for the new fleet."""
        with self._lock:
            self._credit += self.share
            if self._credit < 1 - 1e-9:
                return False
            self._credit -= 1
            return True


class Rollouts:
    """Carries plans out, each in a thread of its caller. `lock` is the lock of moto's backends."""

    def __init__(self, alarms: Alarms, lock: Any) -> None:
        self._alarms = alarms
        self._clock = alarms.clock
        self._lock = lock

    def interrupt(self) -> None:
        """Let all that wait see whether they are still wanted."""
        self._clock.poke()

    def carry(
        self, plan: Plan, backend: Any, endpoint: Any, config: Any, shift: Shift[Any], wanted: Callable[[], bool]
    ) -> str | None:
        """Shift the traffic stage by stage. None at the end, or why the old fleet has to take it back.

        `wanted` is asked under the lock: whether the endpoint still is in this update; where it is not this ends.
        """
        began = self._clock.now()
        for stage in plan.stages:
            with self._lock:
                if not wanted():
                    return None
                _show(endpoint, config, began, "ActivatingTraffic", f"Activating traffic on {stage.capacity}.", stage)
                shift.share = stage.share
            if not stage.wait and not plan.alarms:
                continue
            until = f"Baking for {stage.wait:g} seconds ({stage.named}) with traffic enabled on {stage.capacity}."
            with self._lock:
                _show(endpoint, config, self._clock.now(), "Baking", until, stage)
            reason = self._bake(plan, stage, backend, began + plan.longest, wanted)
            if reason is not None:
                return reason
        return None

    def _bake(self, plan: Plan, stage: Stage, backend: Any, deadline: float, wanted: Callable[[], bool]) -> str | None:
        at = self._clock.now()
        end = at + stage.wait
        while True:
            news = self._clock.news
            with self._lock:
                if not wanted():
                    return None
                states = self._alarms.states(backend.account_id, backend.region_name, plan.alarms, at)
            tripped = [name for name in plan.alarms if states.get(name) == ALARM]
            if tripped:
                return f"CloudWatch alarm(s) {', '.join(tripped)} went into ALARM during the deployment"
            if at >= end:
                return None
            if at >= deadline:
                return f"The deployment took longer than {plan.longest:g} seconds (MaximumExecutionTimeoutInSeconds)"
            mark = min(end, deadline, (at // LOOK + 1) * LOOK)
            self._clock.wait_until(mark, lambda seen=news: self._clock.news != seen)  # type: ignore[misc]
            # Not what it shows now: put forward far, it must not jump over a minute in which an alarm was off.
            at = min(mark, self._clock.now())


def _show(endpoint: Any, config: Any, since: float, status: str, message: str, stage: Stage) -> None:
    """Let Describe tell of the stage: PendingDeploymentSummary."""
    variants = []
    for settings in config.production_variants:
        weight, count = settings.get("InitialVariantWeight", 1.0), settings.get("InitialInstanceCount") or 1
        variants.append(
            {
                "VariantName": settings["VariantName"],
                "CurrentWeight": weight,
                "DesiredWeight": weight,
                "CurrentInstanceCount": math.ceil(count * stage.share),
                "DesiredInstanceCount": count,
                "VariantStatus": [{"Status": status, "StatusMessage": message, "StartTime": moment(since)}],
            }
        )
    pending = endpoint.pending_deployment_summary or {"StartTime": moment(since)}
    endpoint.pending_deployment_summary = {
        **pending,
        "EndpointConfigName": config.endpoint_config_name,
        "ProductionVariants": variants,
    }
