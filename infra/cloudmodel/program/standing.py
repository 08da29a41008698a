"""What autoscaling has made of an endpoint: the one thing that the program takes from the cloud and not from its
settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloudmodel.settings.scaling import Scaling


@dataclass(frozen=True)
class Standing:
    """An endpoint as it stands: the name of its configuration, whether it is in service and nothing else goes on, and
    how many instances each variant wants. `made` asks whether there is a configuration of a name."""

    configuration: str
    settled: bool
    instances: Mapping[str, int]
    made: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True)
class Fleet:
    """How many instances a configuration begins with.

    SageMaker begins a new configuration's fleet with the count that stands in it. pulumi_aws has no flag that keeps
    the live one, so the live one is put there. It is at least one, a configuration begins with no less. `moves`: the
    endpoint will leave what it serves, and the count is what runs at that moment. `fresh`: a configuration of that name
    serves nobody; its count may be corrected. `left`: there is one, of an update that failed.
    """

    instances: int
    moves: bool = False
    fresh: bool = False
    left: bool = False

    @classmethod
    def of(cls, scaling: Scaling, variant: str, configuration: str, standing: Standing | None) -> Fleet:
        """The fleet of `variant` in `configuration`; `standing` is None where nothing stands, or nothing scales."""
        if standing is None:
            return cls(max(scaling.min, 1))
        moves = standing.configuration != configuration
        live = standing.instances.get(variant, scaling.min)
        within = min(max(live, scaling.least, 1), scaling.most)
        fresh = moves and standing.settled
        return cls(within, moves, fresh, left=fresh and standing.made(configuration))
