"""What one evaluation of the program works with: everything is decided here, before the first resource."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cloudmodel.bundle.manifest import Manifest
from cloudmodel.catalog.catalog import InstanceType, dns_suffix, instance_types, partition
from cloudmodel.catalog.images import Image, image_repository_arn, serving_image
from cloudmodel.core.errors import PreflightFailed
from cloudmodel.program import names
from cloudmodel.settings.model import Project, StackSettings

PREFIX = "bundles/sha256/"
CAPTURE = "capture/"
"""Where in the bucket captured requests and answers lie."""
VARIANT = "main"
RUNTIME = "onnxruntime"
SERVERLESS_DISK = 5 * 10**9
"""Bytes that image, bundle and everything else of a serverless container share (AWS's guide)."""
ALARMS = ("errors", "latency", "saturation")
"""The words for the stack's own alarms."""


@dataclass(frozen=True)
class Deployment:
    """A project's stack with the bundle that it serves, in one account."""

    project: Project
    settings: StackSettings
    manifest: Manifest
    archive: Path
    digest: str
    account: str
    commit: str = ""

    @property
    def region(self) -> str:
        return self.settings.region

    @property
    def partition(self) -> str:
        return partition(self.region)

    @cached_property
    def name(self) -> str:
        """The endpoint's name, and the beginning of every other name."""
        return names.base(self.settings.existing.name_prefix, self.project.name, self.settings.stack)

    @property
    def machine(self) -> InstanceType:
        return instance_types()[self.settings.instance]

    @cached_property
    def image(self) -> Image:
        """The serving image: the platform's own where it names one, else AWS's for the bundle's layout."""
        own = self.settings.existing.image
        if own:
            return Image(own, image_repository_arn(own), brings=frozenset({RUNTIME}))
        return serving_image(self.manifest.layout, self.settings.instance, self.region)

    @property
    def object_key(self) -> str:
        """Where the bundle lies in the bucket; its name is its content."""
        return f"{PREFIX}{self.digest.removeprefix('sha256:')}.tar.gz"

    @property
    def bucket_name(self) -> str:
        return self.settings.existing.bucket or names.bucket(self.name, self.account, self.region)

    @property
    def capture_prefix(self) -> str:
        """Where in the bucket SageMaker writes this endpoint's captured requests and answers."""
        return f"{CAPTURE}{self.name}/"

    @property
    def queue_prefix(self) -> str:
        """Where in its bucket an async endpoint's inputs and outputs lie."""
        return f"{self.settings.asynchronous.prefix}/{self.name}/"

    def queue_topic(self, outcome: str) -> str:
        """The name of the topic that hears of `success` or `error`, where the stack makes it."""
        return f"{self.name}-{outcome}"

    @property
    def isolated(self) -> bool:
        """Whether the container has no network; a serverless one always has."""
        return self.settings.network.isolation and not self.serverless

    @property
    def volume_key(self) -> bool:
        """Whether a key encrypts the disks: AWS encrypts local NVMe by itself and refuses one, and a serverless
        endpoint has no disks of its own."""
        return not self.serverless and not self.machine.nvme

    @property
    def log_group_name(self) -> str:
        """The group that SageMaker writes to; its name is not ours to choose."""
        return f"/aws/sagemaker/Endpoints/{self.name}"

    @property
    def scales(self) -> bool:
        """One size at all times is a fixed fleet: nothing is registered for scaling."""
        return not self.serverless and self.settings.scaling.least < self.settings.scaling.most

    @property
    def serverless(self) -> bool:
        """Whether the endpoint has no instances."""
        return self.settings.mode == "serverless"

    @property
    def scaled_by(self) -> str:
        """What the number of instances follows. AWS publishes nothing but the backlog of an async endpoint."""
        return "backlog" if self.settings.mode == "async" else self.settings.scaling.metric

    @property
    def machines(self) -> dict[str, object]:
        """What cannot change under a variant that is registered for scaling; and the bounds where a schedule moves
        them, because nobody else then compares them with the settings."""
        scaling = self.settings.scaling
        bounds = {"bounds": [scaling.min, scaling.max]} if scaling.schedule else {}
        return {"variants": {VARIANT: "serverless" if self.serverless else self.settings.instance}, **bounds}

    @property
    def watched(self) -> tuple[str, ...]:
        """The alarms that roll an update back: words for the stack's own, names of others."""
        rollout = self.settings.rollout
        if not rollout.wait:
            return ()
        return ALARMS if rollout.rollback_on is None else rollout.rollback_on

    def alarm_name(self, alarm: str) -> str:
        """The name of an alarm: `alarm` is a word for one of the stack's own, or another's name."""
        return f"{self.name}-{alarm}" if alarm in ALARMS else alarm

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every resource that takes tags; the user's own come last and may set `owner`."""
        return {
            "owner": self.project.name,
            "stack": self.settings.stack,
            "managed-by": "cloudmodel",
            **self.settings.tags,
        }

    def revision_tags(self, revision: str) -> dict[str, str]:
        """The tags of what stands for one revision: they say which, and which commit first made it."""
        made = {"commit": self.commit} if self.commit else {}
        return {"revision": revision, **made, **self.tags}

    @property
    def kept_tags(self) -> list[str]:
        """The paths of tags that stay as they were made: a later commit that changes nothing is no change."""
        return [] if "commit" in self.settings.tags else ["tags.commit"]

    def identity_tag(self, token: str, name: str) -> dict[str, str]:
        """A tag that tells one resource of one stack from all others, for types whose name AWS makes up."""
        return {"cloudmodel:urn": f"{self.project.pulumi_name}/{self.settings.stack}/{token}/{name}"}

    def arn(self, service: str, resource: str, *, region: str | None = None, account: str | None = None) -> str:
        """An ARN in this account and region unless said otherwise."""
        region = self.region if region is None else region
        account = self.account if account is None else account
        return f"arn:{self.partition}:{service}:{region}:{account}:{resource}"

    def service(self, name: str) -> str:
        """A regional service as policies name it."""
        return f"{name}.{self.region}.{dns_suffix(self.region)}"

    def check(self) -> None:
        """Refuse a container that could not load the model, before anything is declared; raises PreflightFailed.

        That the account is one of `aws:allowedAccountIds` is the provider's to check: it knows before any call.
        """
        if self.serverless:
            self._check_serverless()
        if self.settings.target == "local":
            return  # the local AWS runs the bundle's code in this Python, whatever the image
        if self.manifest.layout != RUNTIME:
            return  # only this layout's image lacks what its serving code imports
        files = {entry.path for entry in self.manifest.files}
        if RUNTIME in self.image.brings or f"code/{RUNTIME}/__init__.py" in files:
            return
        if "code/requirements.txt" in files and not self.isolated:
            return
        raise PreflightFailed(
            f"the image {self.image.uri} has no {RUNTIME} and the container cannot install it",
            where=f"{self.settings.path.name}: cloudmodel:existing",
            hint="name an image that has it: cloudmodel:existing: {image: ...}; "
            "docs/decisions/2026-11-24-serving-image.md has its three lines",
        )

    def _check_serverless(self) -> None:
        size = sum(entry.size for entry in self.manifest.files)
        if size > SERVERLESS_DISK:
            raise PreflightFailed(
                f"the bundle has {size / 2**30:.1f} GiB unpacked, and a serverless endpoint has a disk of 5 GB",
                where=f"{self.settings.path.name}: cloudmodel:mode",
                hint="cloudmodel optimize makes it smaller; cloudmodel:mode: realtime has larger disks",
            )
        own = self.settings.existing.image
        if own and self.settings.target != "local" and own.split(".")[0] != self.account:
            raise PreflightFailed(
                f"a serverless endpoint pulls no image of another account than {self.account}: {own}",
                where=f"{self.settings.path.name}: cloudmodel:existing",
                hint=f"copy the image into a registry of {self.account}, and name that one",
            )
