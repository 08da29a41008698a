"""`cloudmodel:rollout`: how traffic moves to a new revision, and what moves it back.

The bounds of `step` stand in the words of AWS's API reference only (CanarySize, LinearStepSize, MaximumBatchSize of
DeploymentConfig); all others are its shapes'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cloudmodel.settings.fields import Tuple, at_most, aws_text, within
from cloudmodel.settings.part import Settings

AlarmName = Annotated[str, aws_text("sagemaker", "AlarmName", "the name of a CloudWatch alarm")]

STARTUP = 1800
"""Seconds that a deployment has to bring instances up, besides its waits."""
LONGEST = 14400
"""Seconds that a deployment may take: pulumi-aws takes no more, AWS itself 28800."""


@dataclass(frozen=True)
class Steps:
    """The bounds of one strategy's step in percent of the fleet, and its usual one."""

    least: int
    most: int
    usual: int


STEPS: Mapping[str, Steps] = {
    "canary": Steps(1, 50, 10),
    "linear": Steps(10, 50, 25),
    "rolling": Steps(5, 50, 25),
}
USUAL_BAKE = 300
ALARMS = ("errors", "latency", "saturation")
"""The words for the stack's own alarms; each variant has its own of each."""


class Rollout(Settings):
    strategy: Literal["all-at-once", "canary", "linear", "rolling"] = "all-at-once"
    step: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percent of the fleet that a canary, a linear step or a rolling batch is; without one 10 for a canary, else 25."""
    bake: Annotated[int, within("sagemaker", "WaitIntervalInSeconds")] | None = None
    """Seconds that each step is watched; without them 300, and 0 for all-at-once."""
    rollback_on: Annotated[tuple[AlarmName, ...], Tuple, at_most("sagemaker", "AlarmList")] | None = None
    """Alarms that roll back while a step is watched: errors, latency and saturation are the stack's own, any other is
    the name of an alarm that exists. Without the key all of the stack's own."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        bounds = STEPS.get(self.strategy)
        if bounds is None and self.step is not None:
            raise ValueError("all-at-once has no step: write canary, linear or rolling")
        if bounds is not None and not bounds.least <= self.percent <= bounds.most:
            raise ValueError(f"a {self.strategy} step is {bounds.least} to {bounds.most} percent (AWS's limit)")
        if self.rollback_on and not self.wait:
            raise ValueError("alarms are watched while a step bakes: give bake, or leave rollback_on out")
        if len(set(self.rollback_on or ())) != len(self.rollback_on or ()):
            raise ValueError("rollback_on names an alarm twice")
        if self.waits + STARTUP > LONGEST:
            raise ValueError(
                f"{self.waits // self.wait} steps of {self.wait} s leave no time to bring instances up: a deployment "
                f"ends after {LONGEST} s at the latest"
            )
        return self

    @property
    def percent(self) -> int:
        """The step in percent; 100 for all-at-once."""
        usual = STEPS.get(self.strategy)
        return self.step or (usual.usual if usual else 100)

    @property
    def wait(self) -> int:
        """Seconds that each step is watched."""
        return self.bake if self.bake is not None else USUAL_BAKE if self.strategy in STEPS else 0

    @property
    def waits(self) -> int:
        """Seconds that all steps are watched: a canary and what follows it, every step of the others."""
        return self.wait * (2 if self.strategy == "canary" else -(-100 // self.percent))

    @property
    def watched(self) -> tuple[str, ...]:
        """What rolls an update back: words for the stack's own alarms, names of others; nothing where nothing bakes."""
        if not self.wait:
            return ()
        return ALARMS if self.rollback_on is None else self.rollback_on

    @property
    def usual(self) -> bool:
        """Whether this is what AWS does unasked: all traffic at once, nothing watched."""
        return self.strategy not in STEPS and not self.wait
