"""Our table of images against the one of AWS's SDK: its own `retrieve` answers for each row, machine and region."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from sagemaker.core import image_uris as sdk

from cloudmodel.catalog import images
from cloudmodel.catalog.catalog import instance_types
from cloudmodel.core.errors import Unsupported

APART = ("us-iso", "eu-iso")
"""Closed partitions, which the table leaves out."""
MACHINES = {"x86_64": "ml.c5.large", "x86_64/gpu": "ml.g5.xlarge", "arm64": "ml.c7g.large"}
"""A machine of each kind that the SDK places rightly."""
UNKNOWN_TO_THE_SDK = {"m8g", "c8g", "r8g", "r7gd"}
"""Graviton families that the SDK takes for x86: it answers with an image that they cannot run."""


@pytest.fixture(autouse=True, scope="module")
def read_once() -> Iterator[None]:
    """The SDK reads all of botocore's endpoints, and its own table, again for each question."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdk.utils, "_botocore_resolver", functools.cache(sdk.utils._botocore_resolver))
        patch.setattr(sdk, "config_for_framework", functools.cache(sdk.config_for_framework))
        yield


def asked(framework: str, version: str, instance: str, region: str) -> str:
    """The SDK's answer; raises ValueError where it has none."""
    known, _, base = version.partition("-pytorch")
    found: str = sdk.retrieve(
        framework,
        region,
        version=known,
        instance_type=instance,
        image_scope="inference",
        **({"base_framework_version": f"pytorch{base}"} if base else {}),
    )
    return found


def rows() -> Iterator[tuple[str, str, str]]:
    for framework, versions in images.frameworks().items():
        for version in versions:
            for kind, instance in MACHINES.items():
                try:
                    images.framework_image(framework, version, instance, "us-east-1")
                except Unsupported:
                    continue
                yield framework, version, kind


ROWS = list(rows())


def every_region(framework: str, version: str) -> set[str]:
    """All regions that the SDK's data names for this version."""
    config: Any = sdk.config_for_framework(framework)
    found: set[str] = set()

    def walk(node: Any) -> None:
        for key, value in node.items():
            if key == "registries":
                found.update(value)
            elif isinstance(value, dict):
                walk(value)

    walk(config)
    return {region for region in found if not region.startswith(APART)}


@pytest.mark.parametrize("framework", sorted(images.frameworks()))
def test_every_row_is_what_the_sdk_answers_in_every_region(framework: str) -> None:
    mine = [row for row in ROWS if row[0] == framework]
    assert mine
    compared = 0
    for _, version, kind in mine:
        for region in sorted(every_region(framework, version)):
            try:
                theirs = asked(framework, version, MACHINES[kind], region)
            except ValueError:
                with pytest.raises(Unsupported):
                    images.framework_image(framework, version, MACHINES[kind], region)
                continue
            compared += 1
            assert images.framework_image(framework, version, MACHINES[kind], region) == theirs
    assert compared > 20 * len(mine)


def test_what_the_sdk_has_and_we_lack_is_older_than_all_that_we_have() -> None:
    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("-")[0].split("."))

    for framework, versions in images.frameworks().items():
        config = sdk.config_for_framework(framework)
        theirs = set(config["versions"] if "versions" in config else config["inference"]["versions"])
        ours = {each.partition("-pytorch")[0] for each in versions}
        assert max(number(each) for each in theirs - ours | {"0"}) < min(number(each) for each in ours)


def graviton() -> dict[str, str]:
    """One machine of each arm64 family without an accelerator."""
    return {
        name.split(".")[1]: name
        for name, machine in instance_types().items()
        if machine.arch == "arm64" and not machine.accelerator
    }


def test_arm_machines_get_arm_images_here_and_the_sdk_gives_some_an_x86_one() -> None:
    wrong = set()
    for family, instance in graviton().items():
        ours = images.framework_image("pytorch", "2.6.0", instance, "us-east-1")
        assert "arm64" in ours
        if asked("pytorch", "2.6.0", instance, "us-east-1") != ours:
            wrong.add(family)
            assert asked("pytorch", "2.6.0", instance, "us-east-1").endswith("/pytorch-inference:2.6.0-cpu-py312")
    assert wrong == UNKNOWN_TO_THE_SDK
