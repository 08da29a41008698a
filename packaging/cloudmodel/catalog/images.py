"""Which of AWS's container images serves what, on which machine, in which region.

`images.json` is made by `tools/make_images.py` from the data of AWS's own SDK; `layouts.json` says which of those
images serves each of our layouts and is written by hand. The machine decides the architecture, by the instance catalog.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cloudmodel.catalog.catalog import dns_suffix, instance_types, partition, read
from cloudmodel.core.errors import Unsupported

_SCRIPT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
OWN = "name your own image: cloudmodel:existing: {image: ...}"


@dataclass(frozen=True)
class Image:
    """A container image in a registry. `repository_arn` is what a pull permission names; `brings` are the Python
    packages of the serving code's needs that the image already has; `version` is its framework's, empty where nobody
    says."""

    uri: str
    repository_arn: str
    brings: frozenset[str] = frozenset()
    version: str = ""


@cache
def _table() -> Any:
    return read("images.json")


@cache
def _layouts() -> Any:
    return read("layouts.json")["rows"]


@cache
def regions() -> tuple[str, ...]:
    """The regions in which a bundle of the usual layout can be served, sorted."""
    row = _layouts()["onnxruntime"]
    return _present(row["framework"], _table()["images"][row["framework"]][row["versions"]["x86_64"]]["x86_64"])


def frameworks() -> Mapping[str, tuple[str, ...]]:
    """The versions that there are images of, oldest first, by framework; all under the names of AWS's SDK."""
    return {name: tuple(versions) for name, versions in _table()["images"].items()}


def kind_of(instance_type: str) -> str:
    """What an image must be made for: `x86_64`, `arm64`, or either with `/gpu`, `/neuron` or `/other` behind it."""
    machine = instance_types()[instance_type]
    return machine.arch + (f"/{machine.accelerator}" if machine.accelerator else "")


def framework_image(framework: str, version: str, instance_type: str, region: str) -> str:
    """The address of AWS's inference image of a framework (`pytorch`, `2.6.0`) for a machine in a region.

    Raises core.errors.Unsupported, which names what there is instead.
    """
    row = _row(framework, version, instance_type)
    account = _table()["accounts"][_table()["owners"][framework]].get(region)
    if account is None or region in row["absent"]:
        raise Unsupported(
            f"AWS has no image of {framework} {version} in {region}; "
            f"there are some in {', '.join(_present(framework, row))}",
            where="aws:region",
            hint=f"choose another region, or {OWN}",
        )
    return f"{account}.dkr.ecr.{region}.{dns_suffix(region)}/{row['repository']}:{row['tag']}"


def serving_image(layout: str, instance_type: str, region: str) -> Image:
    """AWS's image that serves `layout` on `instance_type` in `region`.

    The architecture and the kind of accelerator decide. Raises core.errors.Unsupported where AWS has none.
    """
    row = _layouts().get(layout)
    if row is None:
        raise Unsupported(
            f"no image serves the layout {layout}; there are images for {', '.join(sorted(_layouts()))}",
            where="cloudmodel.yaml: serve.layout",
            hint=f"choose another layout, or {OWN}",
        )
    kind = kind_of(instance_type)
    version = row["versions"].get(kind)
    if version is None:
        raise Unsupported(
            f"no image serves the layout {layout} on {instance_type} ({kind}); "
            f"there are images for {', '.join(sorted(row['versions']))}",
            where="cloudmodel:instance",
            hint=f"choose another type, or {OWN}",
        )
    uri = framework_image(row["framework"], version, instance_type, region)
    return Image(uri, image_repository_arn(uri), brings=frozenset(row["brings"]), version=version)


@cache
def interpreters(layout: str) -> tuple[tuple[str, str], ...]:
    """The architecture and the Python (`3.12`) of every image that serves `layout`, as far as its tag says it."""
    row = _layouts()[layout]
    images = _table()["images"][row["framework"]]
    found = set()
    for kind, version in row["versions"].items():
        python = re.search(r"-py(\d)(\d+)(?:-|$)", images[version][kind]["tag"])
        if python:
            found.add((kind.split("/")[0], f"{python[1]}.{python[2]}"))
    return tuple(sorted(found))


def environment(layout: str, name: str) -> dict[str, str]:
    """What the container of a layout needs to find the model called `name` and its code. Only AWS's own SDK sets it
    otherwise."""
    return {key: value.format(name=name) for key, value in _layouts()[layout].get("environment", _SCRIPT).items()}


def image_repository_arn(uri: str) -> str:
    """The ARN of the ECR repository that `uri` (ACCOUNT.dkr.ecr.REGION.SUFFIX/REPOSITORY:TAG or @DIGEST) points into.

    Raises ValueError for an image that is not in ECR: SageMaker pulls from nowhere else without further set-up.
    """
    host, _, rest = uri.partition("/")
    labels = host.split(".")
    if len(labels) < 5 or labels[1:3] != ["dkr", "ecr"] or not labels[0].isdigit() or not rest:
        raise ValueError(f"{uri} is not an image in Amazon ECR")
    if ".".join(labels[4:]) != dns_suffix(labels[3]):
        raise ValueError(f"{uri} is not an image in Amazon ECR")
    repository = rest.split("@")[0].split(":")[0]
    return f"arn:{partition(labels[3])}:ecr:{labels[3]}:{labels[0]}:repository/{repository}"


def _row(framework: str, version: str, instance_type: str) -> Any:
    """The image of a framework for a machine, wherever it is."""
    versions = _table()["images"].get(framework)
    if versions is None:
        raise Unsupported(
            f"AWS has no image of {framework}; there are images of {', '.join(sorted(frameworks()))}", hint=OWN
        )
    if version not in versions:
        raise Unsupported(
            f"AWS has no image of {framework} {version}; the versions are {', '.join(versions)}", hint=OWN
        )
    kind = kind_of(instance_type)
    if kind not in versions[version]:
        others = [each for each, kinds in versions.items() if kind in kinds]
        known = f"for {kind} the versions are {', '.join(others)}" if others else f"it has none for {kind} at all"
        raise Unsupported(
            f"AWS has no image of {framework} {version} for {instance_type} ({kind}); {known}",
            where="cloudmodel:instance",
            hint=f"choose another type, or {OWN}",
        )
    return versions[version][kind]


def _present(framework: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(set(_table()["accounts"][_table()["owners"][framework]]) - set(row["absent"])))
