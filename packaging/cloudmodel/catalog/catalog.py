"""Facts about AWS that are data: endpoint instance types, serving images, regions, API limits.

Everything here is read from the JSON files beside this module (their source and date stand in them) and answers
without a network. `tools/make_catalog.py` writes `instances.json` and `limits.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cloudmodel.core.errors import Unsupported

HERE = Path(__file__).parent


def _read(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class InstanceType:
    """A type that SageMaker accepts for an endpoint. Sizes are in MiB; `accelerator_mib` is the sum over all devices,
    0 where it is not known. `nvme`: it has local disks, which AWS encrypts by itself and for which the API refuses a
    key."""

    name: str
    vcpu: int
    memory_mib: int
    arch: Literal["x86_64", "arm64"]
    nvme: bool
    burstable: bool
    accelerator: Literal["gpu", "neuron", "other"] | None
    accelerators: int
    accelerator_mib: int


@cache
def instance_types() -> MappingProxyType[str, InstanceType]:
    """Every endpoint instance type by its name (`ml.c7i.large`)."""
    rows = _read("instances.json")["rows"]
    return MappingProxyType({name: InstanceType(name=name, **row) for name, row in rows.items()})


@dataclass(frozen=True)
class Limit:
    """The bounds of one shape of an AWS API: of a length, a count or a number. None where AWS states none."""

    min: int | None = None
    max: int | None = None
    pattern: str | None = None


@cache
def limit(service: str, shape: str) -> Limit:
    """The bounds of `shape` in botocore's model of `service`; KeyError for one that is not in the catalog."""
    return Limit(**_read("limits.json")["rows"][service][shape])


PARTITIONS = {"cn-": ("aws-cn", "amazonaws.com.cn"), "us-gov-": ("aws-us-gov", "amazonaws.com")}
"""By the beginning of a region's name: partition and DNS suffix. Every other region is in `aws`."""


@cache
def regions() -> tuple[str, ...]:
    """The regions that have serving images, sorted."""
    return tuple(sorted(_read("images.json")["registries"]["dlc"]))


def partition(region: str) -> str:
    """The partition of a region: `aws`, `aws-cn` or `aws-us-gov`."""
    return next((found[0] for start, found in PARTITIONS.items() if region.startswith(start)), "aws")


def dns_suffix(region: str) -> str:
    """The DNS suffix of a region: `amazonaws.com`, in China `amazonaws.com.cn`."""
    return next((found[1] for start, found in PARTITIONS.items() if region.startswith(start)), "amazonaws.com")


@dataclass(frozen=True)
class Image:
    """A container image in a registry. `repository_arn` is what a pull permission names; `brings` are the Python
    packages of the serving code's needs that the image already has."""

    uri: str
    repository_arn: str
    brings: frozenset[str] = frozenset()


def serving_image(layout: str, instance_type: str, region: str) -> Image:
    """AWS's image that serves `layout` on `instance_type` in `region`.

    The architecture and the kind of accelerator decide. Raises core.errors.Unsupported where AWS has none.
    """
    images = _read("images.json")
    machine = instance_types()[instance_type]
    kind = machine.arch + (f"/{machine.accelerator}" if machine.accelerator else "")
    row = images["layouts"].get(layout, {}).get(kind)
    if row is None:
        raise Unsupported(
            f"no image serves the layout {layout} on {instance_type} ({kind})",
            where="cloudmodel:instance",
            hint="choose another type, or name your own image: cloudmodel:existing: {image: ...}",
        )
    account = images["registries"][row["registry"]].get(region)
    if account is None:
        raise Unsupported(
            f"AWS has no serving images in {region}",
            where="aws:region",
            hint="choose another region, or name your own image: cloudmodel:existing: {image: ...}",
        )
    return Image(
        uri=f"{account}.dkr.ecr.{region}.{dns_suffix(region)}/{row['repository']}:{row['tag']}",
        repository_arn=f"arn:{partition(region)}:ecr:{region}:{account}:repository/{row['repository']}",
        brings=frozenset(row["brings"]),
    )


def image_repository_arn(uri: str) -> str:
    """The ARN of the ECR repository that `uri` (ACCOUNT.dkr.ecr.REGION.SUFFIX/REPOSITORY:TAG or @DIGEST) points into.

    Raises ValueError for an image that is not in ECR: SageMaker pulls from nowhere else without further set-up.
    """
    host, _, rest = uri.partition("/")
    labels = host.split(".")
    if len(labels) < 6 or labels[1:3] != ["dkr", "ecr"] or not labels[0].isdigit() or not rest:
        raise ValueError(f"{uri} is not an image in Amazon ECR")
    repository = rest.split("@")[0].split(":")[0]
    return f"arn:{partition(labels[3])}:ecr:{labels[3]}:{labels[0]}:repository/{repository}"
