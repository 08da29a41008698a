"""Facts about AWS that are data: endpoint instance types, partitions, API limits. Images have a module of their own.

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

HERE = Path(__file__).parent


def read(name: str) -> Any:
    """The content of one data file beside this module."""
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
    rows = read("instances.json")["rows"]
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
    return Limit(**read("limits.json")["rows"][service][shape])


PARTITIONS = {
    "cn-": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-": ("aws-us-gov", "amazonaws.com"),
    "eusc-": ("aws-eusc", "amazonaws.eu"),
}
"""By the beginning of a region's name: partition and DNS suffix. Every other region is in `aws`."""


def partition(region: str) -> str:
    """The partition of a region: `aws`, `aws-cn`, `aws-us-gov` or `aws-eusc`."""
    return next((found[0] for start, found in PARTITIONS.items() if region.startswith(start)), "aws")


def dns_suffix(region: str) -> str:
    """The DNS suffix of a region: `amazonaws.com`, in China `amazonaws.com.cn`, in the European sovereign
    partition `amazonaws.eu`."""
    return next((found[1] for start, found in PARTITIONS.items() if region.startswith(start)), "amazonaws.com")
