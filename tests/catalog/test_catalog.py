"""The catalog's data against the packages that it was made from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import botocore.session
import moto.ec2
import pytest

from cloudmodel.catalog import catalog
from cloudmodel.catalog.images import regions

SESSION = botocore.session.get_session()


def test_the_types_are_those_of_the_installed_api() -> None:
    """Write them again with `python tools/make_catalog.py` where AWS has new ones."""
    shape = SESSION.get_service_model("sagemaker").shape_for("ProductionVariantInstanceType")
    assert set(catalog.instance_types()) == set(shape.enum)


def test_the_machines_are_ec2s() -> None:
    with gzip.open(Path(moto.ec2.__file__).parent / "resources" / "instance_types.json.gz") as file:
        ec2 = json.load(file)
    unknown = 0
    for name, machine in catalog.instance_types().items():
        facts = ec2.get(name.removeprefix("ml."))
        if facts is None:
            unknown += 1
            continue
        assert machine.vcpu == facts["VCpuInfo"]["DefaultVCpus"]
        assert machine.memory_mib == facts["MemoryInfo"]["SizeInMiB"]
        assert machine.arch in facts["ProcessorInfo"]["SupportedArchitectures"]
        assert machine.burstable == facts["BurstablePerformanceSupported"]
        assert (machine.accelerator == "gpu") == ("GpuInfo" in facts)
    assert unknown == 8


@pytest.mark.parametrize(
    ("name", "vcpu", "arch", "nvme", "burstable", "accelerator", "accelerators"),
    [
        ("ml.t2.medium", 2, "x86_64", False, True, None, 0),
        ("ml.m5.large", 2, "x86_64", False, False, None, 0),
        ("ml.m5d.large", 2, "x86_64", True, False, None, 0),
        ("ml.c7g.large", 2, "arm64", False, False, None, 0),
        ("ml.c8g.medium", 1, "arm64", False, False, None, 0),
        ("ml.g4dn.12xlarge", 48, "x86_64", True, False, "gpu", 4),
        ("ml.g5.xlarge", 4, "x86_64", True, False, "gpu", 1),
        ("ml.p4d.24xlarge", 96, "x86_64", True, False, "gpu", 8),
        ("ml.inf2.xlarge", 4, "x86_64", False, False, "neuron", 1),
        ("ml.p3.2xlarge", 8, "x86_64", False, False, "gpu", 1),
    ],
)
def test_known_machines(
    name: str, vcpu: int, arch: str, nvme: bool, burstable: bool, accelerator: str | None, accelerators: int
) -> None:
    found = catalog.instance_types()[name]
    assert (found.vcpu, found.arch, found.nvme, found.burstable) == (vcpu, arch, nvme, burstable)
    assert (found.accelerator, found.accelerators) == (accelerator, accelerators)


def test_limits_are_those_of_the_installed_api() -> None:
    rows = json.loads((catalog.HERE / "limits.json").read_text())["rows"]
    assert rows
    for service, shapes in rows.items():
        model = SESSION.get_service_model(service)
        for shape in shapes:
            bounds = model.shape_for(shape).metadata
            expected = catalog.Limit(bounds.get("min"), bounds.get("max"), bounds.get("pattern"))
            assert catalog.limit(service, shape) == expected


def test_partitions_are_botocores() -> None:
    suffixes = {each["id"]: each["outputs"]["dnsSuffix"] for each in SESSION.get_data("partitions")["partitions"]}
    for region in (*regions(), "eusc-de-east-1"):
        assert catalog.partition(region) == SESSION.get_partition_for_region(region)
        assert catalog.dns_suffix(region) == suffixes[catalog.partition(region)]
