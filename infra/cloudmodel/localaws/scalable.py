"""What Application Auto Scaling changes the size of: a variant's instances, or its warm concurrency; and how often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends

from cloudmodel.localaws.levels import OFTEN
from cloudmodel.localaws.metrics import MINUTE

HIGH_RESOLUTION = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
Key = tuple[str, str, str, str]
"""Account, region, dimension and resource of a target."""


@dataclass(frozen=True)
class Place:
    """The variant of a target."""

    backend: Any
    endpoint: Any
    variant: str
    summary: Mapping[str, Any]
    provisioned: bool

    @classmethod
    def of(cls, key: Key) -> Place | None:
        """None where there is no such variant (any more)."""
        from moto.sagemaker.models import sagemaker_backends

        account, region, dimension, resource = key
        name, _, variant = resource.removeprefix("endpoint/").partition("/variant/")
        backend = sagemaker_backends[account][region]
        endpoint: Any = backend.endpoints.get(name)
        for summary in endpoint.production_variants if endpoint is not None else ():
            if summary["VariantName"] == variant:
                return cls(backend, endpoint, variant, summary, dimension.endswith(":DesiredProvisionedConcurrency"))
        return None

    @property
    def capacity(self) -> int:
        if self.provisioned:
            return int((self.summary.get("CurrentServerlessConfig") or {}).get("ProvisionedConcurrency", 0))
        return int(self.summary.get("DesiredInstanceCount", 0))

    def sized(self, capacity: int) -> dict[str, Any]:
        """The fields of the variant's summary that say so."""
        if self.provisioned:
            return {"ServerlessConfig": {**self.summary["CurrentServerlessConfig"], "ProvisionedConcurrency": capacity}}
        return {"InstanceCount": capacity}


def targets_of_all() -> Iterator[tuple[Key, Any]]:
    """The scalable targets of all accounts and regions."""
    for account, regions in applicationautoscaling_backends.items():
        for region, backend in regions.items():
            for dimension, targets in list(backend.targets.items()):
                for resource, target in list(targets.items()):
                    if target.service_namespace == "sagemaker":
                        yield (account, region, dimension, resource), target


def policies_of(key: Key) -> list[Any]:
    """The scaling policies of a target."""
    backend = applicationautoscaling_backends[key[0]][key[1]]
    return [each for each in backend.policies.values() if (each.scalable_dimension, each.resource_id) == key[2:]]


def often(policy: Any) -> bool:
    """Whether a policy follows a metric of high resolution."""
    said = getattr(policy, "target_tracking_scaling_policy_configuration", None) or {}
    kind = said.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    return bool(kind == HIGH_RESOLUTION)


def next_look(targets: Sequence[tuple[Key, Any]], mark: float) -> float:
    """When targets are looked at again after `mark`: each minute, more often where a policy asks for it."""
    if not targets:
        return math.inf
    rhythm = OFTEN if any(often(policy) for key, _ in targets for policy in policies_of(key)) else MINUTE
    return (mark // rhythm + 1) * rhythm
