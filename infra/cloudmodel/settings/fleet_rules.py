"""How large a variant's fleet can be, and how AWS moves it to another revision: told by its key, before AWS refuses it
or does something else without a word."""

from __future__ import annotations

from collections.abc import Iterator

from cloudmodel.catalog.catalog import instance_types, limit
from cloudmodel.settings.document import Key
from cloudmodel.settings.model import StackFile
from cloudmodel.settings.rollout import ALARMS, STEPS
from cloudmodel.settings.variants import Served


def impossible_fleets(settings: StackFile) -> Iterator[tuple[Key, str]]:
    """Sizes that AWS does not give a variant."""
    for each in settings.served:
        yield from _impossible_fleet(settings, each)


def _impossible_fleet(settings: StackFile, variant: Served) -> Iterator[tuple[Key, str]]:
    scaling, key = variant.scaling, variant.keys["scaling"]
    if settings.mode == "realtime":
        places = {(*key, "min"): scaling.min}
        places |= {(*key, "schedule", index, "min"): entry.min for index, entry in enumerate(scaling.schedule)}
        for place, least in places.items():
            if least < 1:
                yield place, "must be at least 1: a real-time endpoint cannot scale to zero"
    if instance_types()[variant.instance].burstable and scaling.least < scaling.most:
        yield (
            variant.keys["instance"],
            f"{variant.instance} is burstable: AWS scales it only with scaling.min equal to scaling.max",
        )


def unfit_rollout(settings: StackFile) -> Iterator[tuple[Key, str]]:
    """What SageMaker's deployment guardrails exclude, and would carry out all at once without a word."""
    rollout = settings.rollout
    if rollout.usual:
        return
    if settings.mode not in ("realtime", "async"):
        yield ("rollout",), f"is for real-time and async endpoints: a {settings.mode} one moves all at once"
    if rollout.strategy == "rolling" and len(settings.variants) > 1:
        yield ("rollout", "strategy"), "AWS rolls no endpoint with several variants: write canary or linear"
    for each in settings.served:
        if each.instance.startswith("ml.inf1."):
            yield ("rollout",), f"AWS moves {each.instance} all at once, and watches no alarm"
        if rollout.strategy in STEPS and each.scaling.least < 2:
            of = f" of {each.name}" if settings.variants else ""
            yield (
                ("rollout", "strategy"),
                f"{rollout.strategy} moves at most half of the fleet at a time: scaling.min{of} must be at least 2",
            )
    watched = sum(len(settings.served) if each in ALARMS else 1 for each in rollout.watched)
    most = limit("sagemaker", "AlarmList").max or 0
    if watched > most:
        yield (
            ("rollout", "rollback_on"),
            f"is {watched} alarms with those of each variant, and AWS watches {most}: name fewer",
        )
