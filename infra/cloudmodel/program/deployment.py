"""What one evaluation of the program works with: everything is decided here, before the first resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cloudmodel.catalog.catalog import dns_suffix, partition
from cloudmodel.catalog.images import interpreters
from cloudmodel.core.errors import PreflightFailed
from cloudmodel.program import names
from cloudmodel.program.standing import Standing
from cloudmodel.program.variant import RUNTIME, Bundle, Variant, agree
from cloudmodel.serving import wheels
from cloudmodel.serving.placing import FILES
from cloudmodel.settings.model import Project, StackSettings
from cloudmodel.settings.rollout import ALARMS

CAPTURE = "capture/"
"""Where in the bucket captured requests and answers lie."""
SERVERLESS_DISK = 5 * 10**9
"""Bytes that image, bundle and everything else of a serverless container share (AWS's guide)."""


@dataclass(frozen=True)
class Deployment:
    """A project's stack with the variants that it serves, in one account."""

    project: Project
    settings: StackSettings
    variants: tuple[Variant, ...]
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
    def bundles(self) -> Mapping[str, Bundle]:
        """Each bundle once, by its digest."""
        return {each.bundle.digest: each.bundle for each in self.variants}

    def of_variant(self, variant: Variant) -> str:
        """The beginning of the names of what each variant has."""
        return names.of_variant(self.name, variant.name)

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
        """Whether a key encrypts the disks: AWS encrypts local NVMe by itself and refuses one for an endpoint that has
        any, and a serverless endpoint has no disks of its own."""
        return not self.serverless and not any(each.machine.nvme for each in self.variants)

    @property
    def log_group_name(self) -> str:
        """The group that SageMaker writes to; its name is not ours to choose."""
        return f"/aws/sagemaker/Endpoints/{self.name}"

    def scales(self, variant: Variant) -> bool:
        """One size at all times is a fixed fleet: nothing is registered for scaling."""
        return not self.serverless and variant.scaling.least < variant.scaling.most

    @property
    def looks(self) -> bool:
        """Whether a plan depends on how the endpoint stands: on counts that scaling decides, or on which variants a
        watched rollout would keep."""
        return any(map(self.scales, self.variants)) or not self.settings.rollout.usual

    @property
    def serverless(self) -> bool:
        """Whether the endpoint has no instances."""
        return self.settings.mode == "serverless"

    def scaled_by(self, variant: Variant) -> str:
        """What the number of instances follows. AWS publishes nothing but the backlog of an async endpoint."""
        return "backlog" if self.settings.mode == "async" else variant.scaling.metric

    @property
    def machines(self) -> dict[str, object]:
        """What cannot change under a variant that is registered for scaling; and the bounds where a schedule moves
        them, because nobody else then compares them with the settings."""
        types = {each.name: "serverless" if self.serverless else each.instance for each in self.variants}
        bounds = {each.name: [each.scaling.min, each.scaling.max] for each in self.variants if each.scaling.schedule}
        if not bounds:
            return {"variants": types}
        return {"variants": types, "bounds": bounds if len(self.variants) > 1 else next(iter(bounds.values()))}

    @property
    def watched(self) -> tuple[str, ...]:
        """The names of the alarms that roll an update back."""
        return tuple(
            name
            for word in self.settings.rollout.watched
            for name in ([self.alarm_name(word, each) for each in self.variants] if word in ALARMS else [word])
        )

    def alarm_name(self, word: str, variant: Variant) -> str:
        """The name of an alarm of the stack's own."""
        return f"{self.of_variant(variant)}-{word}"

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
        """Refuse a container that could not load its model, and variants that do not answer the same requests, before
        anything is declared; raises PreflightFailed.

        That the account is one of `aws:allowedAccountIds` is the provider's to check: it knows before any call.
        """
        agree(self.variants, f"{self.settings.path.name}: cloudmodel:variants")
        for each in self.variants:
            if self.serverless:
                self._check_serverless(each)
            self._check_image(each)

    def check_standing(self, standing: Standing | None) -> None:
        """Refuse a watched rollout to other variants than those that stand: AWS watches none; raises PreflightFailed.

        Source: "Exclusions" of SageMaker's deployment guardrails: the variants' names must be the same.
        """
        wanted = {each.name for each in self.variants}
        if standing is None or self.settings.rollout.usual or wanted == set(standing.instances):
            return
        raise PreflightFailed(
            f"the endpoint {self.name} has the variants {', '.join(sorted(standing.instances))}, and is to have "
            f"{', '.join(sorted(wanted))}: AWS does that all at once, and watches no alarm",
            where=f"{self.settings.path.name}: cloudmodel:rollout",
            hint="leave cloudmodel:rollout out for this one update, and begin a new variant with weight 0",
        )

    def _check_image(self, variant: Variant) -> None:
        if self.settings.target == "local":
            return  # the local AWS runs the bundle's code in this Python, whatever the image
        manifest = variant.bundle.manifest
        self._check_versions(variant)
        files = {entry.path for entry in manifest.files}
        if manifest.layout != RUNTIME and wheels.NEEDED_BY.as_posix() not in files:
            return  # only code that loads ONNX models imports what an image lacks
        machine = variant.machine.arch
        places = [wheels.place(*each) for each in interpreters(manifest.layout) if each[0] == machine]
        brought = {f"{place}/{RUNTIME}/__init__.py" for place in ("code", *places)}
        if RUNTIME in variant.image.brings or brought & files:
            return
        if "code/requirements.txt" in files and not self.isolated:
            return
        raise PreflightFailed(
            f"the image {variant.image.uri} has no {RUNTIME} and the container cannot install it",
            where=f"{self.settings.path.name}: cloudmodel:existing",
            hint="let the bundle bring it (serve: {wheels: true} in cloudmodel.yaml, then package), or name an image "
            "that has it: cloudmodel:existing: {image: ...}; docs/decisions/2026-11-24-serving-image.md has its three "
            "lines",
        )

    def _check_versions(self, variant: Variant) -> None:
        """scikit-learn and torch.export promise to load what they saved in the same version only."""
        manifest, has = variant.bundle.manifest, variant.image.version
        library, key = ("scikit-learn", "scikit-learn") if manifest.layout == "sklearn" else ("PyTorch", "torch")
        if manifest.layout != "sklearn" and FILES["torch-export"] not in {entry.path for entry in manifest.files}:
            return
        saved = manifest.metadata.get("original", {}).get(key, "")
        if not saved or not has or _minor(saved) == _minor(has):
            return
        raise PreflightFailed(
            f"the model was saved by {library} {saved}, and the image {variant.image.uri} has {_minor(has)}",
            where=f"{self.settings.path.name}: cloudmodel:existing",
            hint=f"package it where {library} {_minor(has)} is installed, or name an image of your own: "
            "cloudmodel:existing: {image: ...}",
        )

    def _check_serverless(self, variant: Variant) -> None:
        size = sum(entry.size for entry in variant.bundle.manifest.files)
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


def _minor(version: str) -> str:
    """The first two numbers of a version (`1.9` of `1.9.1` and `1.9-0`)."""
    return ".".join(version.replace("-", ".").split(".")[:2])
