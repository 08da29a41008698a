"""How SageMaker moves an endpoint to a new configuration, and what makes it go back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi

from cloudmodel.program.deployment import Deployment
from cloudmodel.settings.rollout import LONGEST, STARTUP, Rollout

if TYPE_CHECKING:
    from pulumi_aws.sagemaker import EndpointDeploymentConfigArgsDict as Configuration

SHORTEST = 600
"""The least that AWS takes as a deployment's longest time."""
HOUR, MARGIN = 3600, 600
"""Seconds: what our provider waits by itself, and how much later than its longest time a deployment may end."""
KINDS = {"all-at-once": "ALL_AT_ONCE", "canary": "CANARY", "linear": "LINEAR"}
SIZES = {"canary": "canary_size", "linear": "linear_step_size"}


def configuration(deployment: Deployment, alarms: Mapping[str, pulumi.Output[str]]) -> Configuration | None:
    """The deployment configuration, None for what SageMaker does unasked. `alarms` are the stack's own by their names.

    The create call takes it too and keeps it; it works from the first update on, there is nothing to go back to before.
    """
    rollout = deployment.settings.rollout
    if rollout.usual:
        return None
    found: Configuration = _rolling(rollout) if rollout.strategy == "rolling" else _blue_green(rollout)
    watched = [alarms.get(name, name) for name in deployment.watched]
    if watched:
        found["auto_rollback_configuration"] = {"alarms": [{"alarm_name": name} for name in watched]}
    return found


def longest(rollout: Rollout) -> int:
    """Seconds that a deployment may take: its waits, and time to bring up the fleet, or each batch."""
    batches = -(-100 // rollout.percent) if rollout.strategy == "rolling" else 1
    return min(max(rollout.waits + STARTUP * batches, SHORTEST), LONGEST)


def patience(rollout: Rollout) -> pulumi.CustomTimeouts | None:
    """How long to wait for an update; None where our provider's own patience is enough."""
    most = longest(rollout) + MARGIN
    return pulumi.CustomTimeouts(update=f"{most}s") if not rollout.usual and most > HOUR else None


def _blue_green(rollout: Rollout) -> Configuration:
    size = {"type": "CAPACITY_PERCENT", "value": rollout.percent}
    return {
        "blue_green_update_policy": {
            "traffic_routing_configuration": {
                "type": KINDS[rollout.strategy],
                "wait_interval_in_seconds": rollout.wait,
                **({SIZES[rollout.strategy]: size} if rollout.strategy in SIZES else {}),  # type: ignore[typeddict-item]
            },
            # The old fleet stands by while the whole traffic is watched, too.
            "termination_wait_in_seconds": rollout.wait,
            "maximum_execution_timeout_in_seconds": longest(rollout),
        }
    }


def _rolling(rollout: Rollout) -> Configuration:
    return {
        "rolling_update_policy": {
            "maximum_batch_size": {"type": "CAPACITY_PERCENT", "value": rollout.percent},
            "wait_interval_in_seconds": rollout.wait,
            "maximum_execution_timeout_in_seconds": longest(rollout),
        }
    }
