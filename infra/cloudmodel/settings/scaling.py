"""`cloudmodel:scaling`: bounds, what is tracked, steps for a sudden load, a schedule."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cloudmodel.settings.fields import Seconds, Text, Tuple, matching
from cloudmodel.settings.part import Settings
from cloudmodel.settings.schedule import parse

MOST_SCHEDULED, MOST_STEPS = 200, 20
"""AWS's quotas: scheduled actions of a scalable target, step adjustments of a policy."""

Capacity = Annotated[int, Field(ge=0, le=1000)]


def _when(text: str) -> str:
    parse(text)
    return text


def _zone(name: str) -> str:
    from zoneinfo import available_timezones

    known = available_timezones()
    if known and name not in known:
        raise ValueError("must be a time zone's name, such as Europe/Berlin")
    return name


class ScheduledBounds(Settings):
    """From a moment on, other bounds; until another entry's moment."""

    name: Annotated[str, matching(r"[a-z][a-z0-9-]{0,30}", "a small letter, then small letters, digits or hyphens")]
    when: Annotated[Text, AfterValidator(_when)]
    """`cron(0 7 ? * MON-FRI *)`, `rate(2 hours)` or `at(2027-01-31T20:00:00)`."""
    timezone: Annotated[Text, AfterValidator(_zone)] = "UTC"
    min: Capacity
    max: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}")
        return self


class Step(Settings):
    """Instances that are added at once when the metric is above a value."""

    above: Annotated[float, Field(gt=0, le=1_000_000)]
    """Per instance, in the metric's unit; more than the target."""
    add: Annotated[int, Field(ge=1, le=1000)]


class Scaling(Settings):
    min: Capacity = 1
    max: Annotated[int, Field(ge=1, le=1000)] = 2
    metric: Literal["invocations", "concurrency", "backlog"] = "invocations"
    """Invocations per instance and minute, requests in flight per instance, or the backlog of an async endpoint."""
    target: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Per instance. Measure it; without one: 1000 invocations, 4 in flight, a backlog of 5."""
    scale_in_cooldown: Seconds = 300
    scale_out_cooldown: Seconds = 60
    steps: Annotated[tuple[Step, ...], Tuple, Field(max_length=MOST_STEPS)] = ()
    """What a sudden load adds at once, besides the tracking."""
    schedule: Annotated[tuple[ScheduledBounds, ...], Tuple, Field(max_length=MOST_SCHEDULED)] = ()
    """Other bounds at other times. After the first of them the bounds above count no more."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}")
        if any(first.above >= second.above or first.add >= second.add for first, second in pairwise(self.steps)):
            raise ValueError("each of the steps must be above more, and add more, than the one before it")
        if self.steps and self.target is not None and self.steps[0].above <= self.target:
            raise ValueError(f"the first of the steps must be above the target, {self.target:g}")
        names = [entry.name for entry in self.schedule]
        if len(set(names)) != len(names):
            raise ValueError("schedule names an entry twice")
        return self

    @property
    def least(self) -> int:
        """The smallest fleet that the bounds allow at any time."""
        return min(self.min, *(entry.min for entry in self.schedule)) if self.schedule else self.min

    @property
    def most(self) -> int:
        """The largest."""
        return max(self.max, *(entry.max for entry in self.schedule)) if self.schedule else self.max
