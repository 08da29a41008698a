"""What a plan says aloud of settings that reach less far than they read: warnings, in the settings' own words."""

from __future__ import annotations

from collections.abc import Iterator

from cloudmodel.program.deployment import Deployment


def notes(deployment: Deployment) -> Iterator[str]:
    """One sentence for each setting of the stack that AWS, or what the platform owns, does not let us carry out."""
    settings = deployment.settings
    nvme = sorted({each.instance for each in deployment.variants if each.machine.nvme})
    if nvme and not deployment.serverless:
        has = "have" if len(nvme) > 1 else "has"
        yield (
            f"cloudmodel:instance {', '.join(nvme)} {has} local NVMe disks, which AWS encrypts by itself: "
            "the endpoint gets no key of cloudmodel:encryption, since SageMaker refuses one for such types"
        )
        if beside := [each.name for each in deployment.variants if not each.machine.nvme]:
            yield f"that is so for the disks of {', '.join(beside)} beside it, too: they have AWS's own encryption only"
    if len(settings.network.subnets) == 1:
        yield "cloudmodel:network names one subnet: all instances stand in its availability zone and fall with it"
    if settings.mode == "serverless" and settings.network.isolation:
        yield (
            "a serverless endpoint has network access: AWS does not isolate one (cloudmodel:network isolation), "
            "and takes no key of cloudmodel:encryption for its disk"
        )
    if settings.mode == "async" and (platforms := settings.asynchronous.bucket or settings.existing.bucket):
        yield (
            f"cloudmodel:asynchronous keeps inputs and outputs in the bucket {platforms}, which is "
            f"never changed here: its own lifecycle must end what lies under {deployment.queue_prefix}"
        )
    if settings.capture.percent and settings.existing.bucket:
        yield (
            f"cloudmodel:capture writes into the bucket {settings.existing.bucket}, which is never changed here: "
            f"its own lifecycle must end what lies under {deployment.capture_prefix}"
        )
    if settings.existing.boundary and settings.existing.role:
        yield (
            "cloudmodel:existing names a boundary for the roles that the stack makes, and the role "
            f"{settings.existing.role}, so that it makes none: whether that one is bounded is the platform's to see to"
        )
