"""Writes `packaging/cloudmodel/catalog/{instances,limits}.json` again from the installed botocore and moto.

    python tools/make_catalog.py

`instances.json`: the types that SageMaker's API accepts for an endpoint (botocore's enum) with what EC2 says of the
same machine (moto's copy of DescribeInstanceTypes). `limits.json`: the minima, maxima and patterns of the shapes that
stack settings end up in; botocore carries them and does not check them. Review the difference before committing it.
"""

from __future__ import annotations

import gzip
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import botocore.session
import moto.ec2

CATALOG = Path(__file__).parents[1] / "packaging" / "cloudmodel" / "catalog"

# Types that the API accepts and moto's data lacks: written from memory and checked against no source of AWS yet,
# except ml.p3.2xlarge.
MISSING: dict[str, dict[str, Any]] = {
    "ml.p2.xlarge": {"vcpu": 4, "memory_mib": 62464, "accelerator": "gpu", "accelerators": 1},
    "ml.p2.8xlarge": {"vcpu": 32, "memory_mib": 499712, "accelerator": "gpu", "accelerators": 8},
    "ml.p2.16xlarge": {"vcpu": 64, "memory_mib": 749568, "accelerator": "gpu", "accelerators": 16},
    "ml.p3.2xlarge": {"vcpu": 8, "memory_mib": 62464, "accelerator": "gpu", "accelerators": 1},
    "ml.p3.8xlarge": {"vcpu": 32, "memory_mib": 249856, "accelerator": "gpu", "accelerators": 4},
    "ml.p3.16xlarge": {"vcpu": 64, "memory_mib": 499712, "accelerator": "gpu", "accelerators": 8},
    "ml.dl1.24xlarge": {"vcpu": 96, "memory_mib": 786432, "accelerator": "other", "accelerators": 8, "nvme": True},
    "ml.p6e-gb200.36xlarge": {
        "vcpu": 144,
        "memory_mib": 983040,
        "accelerator": "gpu",
        "accelerators": 4,
        "arch": "arm64",
        "nvme": True,
    },
}

SHAPES = {
    "sagemaker": [
        "AlarmList",
        "AlarmName",
        "ContainerImage",
        "EndpointConfigName",
        "EndpointName",
        "EnvironmentKey",
        "EnvironmentMap",
        "EnvironmentValue",
        "KmsKeyId",
        "MaxConcurrentInvocationsPerInstance",
        "ModelName",
        "ProductionVariantContainerStartupHealthCheckTimeoutInSeconds",
        "ProductionVariantList",
        "ProductionVariantModelDataDownloadTimeoutInSeconds",
        "RoleArn",
        "SamplingPercentage",
        "SecurityGroupId",
        "ServerlessMaxConcurrency",
        "ServerlessMemorySizeInMB",
        "ServerlessProvisionedConcurrency",
        "SubnetId",
        "Subnets",
        "TagKey",
        "TagList",
        "TagValue",
        "VariantName",
        "VpcSecurityGroupIds",
        "WaitIntervalInSeconds",
    ],
    "cloudwatch": ["AlarmName", "ResourceList"],
    "iam": ["policyNameType", "roleNameType"],
    "logs": ["LogGroupName"],
}


def instance(facts: dict[str, Any]) -> dict[str, Any]:
    """One row from an entry of DescribeInstanceTypes."""
    gpus = facts.get("GpuInfo", {}).get("Gpus", [])
    neurons = facts.get("NeuronInfo", {}).get("NeuronDevices", [])
    others = facts.get("InferenceAcceleratorInfo", {}).get("Accelerators", [])
    kind, devices = next(
        ((kind, found) for kind, found in (("gpu", gpus), ("neuron", neurons), ("other", others)) if found), (None, [])
    )
    return {
        "vcpu": facts["VCpuInfo"]["DefaultVCpus"],
        "memory_mib": facts["MemoryInfo"]["SizeInMiB"],
        "arch": "arm64" if "arm64" in facts["ProcessorInfo"]["SupportedArchitectures"] else "x86_64",
        "nvme": facts.get("InstanceStorageInfo", {}).get("NvmeSupport") == "required",
        "burstable": facts["BurstablePerformanceSupported"],
        "accelerator": kind,
        "accelerators": sum(device["Count"] for device in devices),
        "accelerator_mib": sum(device["Count"] * device["MemoryInfo"]["SizeInMiB"] for device in devices),
    }


def instances(session: Any) -> dict[str, Any]:
    resources = Path(moto.ec2.__file__).parent / "resources" / "instance_types.json.gz"
    with gzip.open(resources) as file:
        ec2 = json.load(file)
    plain = {"arch": "x86_64", "nvme": False, "burstable": False, "accelerator_mib": 0}
    allowed = session.get_service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum
    return {
        name: instance(ec2[name.removeprefix("ml.")]) if name.removeprefix("ml.") in ec2 else plain | MISSING[name]
        for name in sorted(allowed)
    }


def limits(session: Any) -> dict[str, Any]:
    return {
        service: {
            shape: {
                key: value
                for key, value in session.get_service_model(service).shape_for(shape).metadata.items()
                if key in ("min", "max", "pattern")
            }
            for shape in sorted(shapes)
        }
        for service, shapes in SHAPES.items()
    }


def write(name: str, rows: dict[str, Any]) -> None:
    made_from = {package: version(package) for package in ("botocore", "moto")}
    body = ",\n".join(f"    {json.dumps(key)}: {json.dumps(row, sort_keys=True)}" for key, row in rows.items())
    text = f'{{\n  "made_from": {json.dumps(made_from)},\n  "rows": {{\n{body}\n  }}\n}}\n'
    (CATALOG / name).write_text(text)


if __name__ == "__main__":
    session = botocore.session.get_session()
    write("instances.json", instances(session))
    write("limits.json", limits(session))
