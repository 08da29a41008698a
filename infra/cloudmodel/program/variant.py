"""The variants of an endpoint: which bundle each serves, on which machines, in which image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmodel.bundle.archive import read_manifest
from cloudmodel.bundle.diff import diff
from cloudmodel.bundle.manifest import MANIFEST_NAME, Manifest
from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.catalog.catalog import InstanceType, instance_types
from cloudmodel.catalog.images import Image, environment, image_repository_arn, serving_image
from cloudmodel.core.errors import PreflightFailed, UsageError
from cloudmodel.program import names
from cloudmodel.settings.model import Project, StackSettings
from cloudmodel.settings.scaling import Scaling
from cloudmodel.settings.variants import Served

PREFIX = "bundles/sha256/"
RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Bundle:
    """A bundle of the store: its name, its archive on this machine (the folder of a large one), and what its manifest
    says."""

    digest: str
    archive: Path
    manifest: Manifest

    @property
    def short(self) -> str:
        """Twelve digits of its name, for names of resources."""
        return self.digest.removeprefix("sha256:")[:12]

    @property
    def large(self) -> bool:
        """Whether it lies in the bucket as its files, which the endpoint reads as they are."""
        return self.archive.is_dir()

    @property
    def object_key(self) -> str:
        """Where it lies in the bucket, a prefix for a large one; its name is its content."""
        return f"{PREFIX}{self.digest.removeprefix('sha256:')}{'/' if self.large else '.tar.gz'}"

    @property
    def objects(self) -> dict[str, Path]:
        """Each file by its name below `object_key`; an archive is one without a name."""
        if not self.large:
            return {"": self.archive}
        names = [MANIFEST_NAME, *(entry.path for entry in self.manifest.files)]
        return {name: self.archive / name for name in names}


@dataclass(frozen=True)
class Variant:
    """One production variant. `weight` over the sum of all weights is its share of the requests."""

    name: str
    weight: float
    bundle: Bundle
    image: Image
    instance: str
    scaling: Scaling

    @property
    def environment(self) -> dict[str, str]:
        """What the container needs to find model and code, without what the settings say."""
        return environment(self.bundle.manifest.layout, self.bundle.manifest.name)

    @property
    def machine(self) -> InstanceType:
        return instance_types()[self.instance]

    def called(self, word: str) -> str:
        """The logical name of a resource that each variant has."""
        return names.of_variant(word, self.name)


def variants(project: Project, settings: StackSettings) -> tuple[Variant, ...]:
    """The variants of a stack, at least one. A pinned bundle is fetched from the project's store, where none is pinned
    its newest is taken.

    Raises UsageError where the store has none, and the errors of the bundle store.
    """
    store = open_store(project.bundles, base=project.folder)
    found = {digest: _bundle(project, store, digest) for digest in {each.bundle for each in settings.served}}
    return tuple(_variant(settings, each, found[each.bundle]) for each in settings.served)


def _bundle(project: Project, store: BundleStore, pinned: str | None) -> Bundle:
    digest = pinned or store.newest(project.name)
    if digest is None:
        raise UsageError(
            f"{project.name} has no bundle in {project.bundles}", where=str(project.folder), hint="cloudmodel package"
        )
    archive = store.get(digest)
    return Bundle(digest, archive, read_manifest(archive))


def _variant(settings: StackSettings, served: Served, bundle: Bundle) -> Variant:
    own = settings.existing.image
    image = (
        Image(own, image_repository_arn(own), brings=frozenset({RUNTIME}))
        if own
        else serving_image(bundle.manifest.layout, served.instance, settings.region)
    )
    # A whole number is written as one, so that 1 and 1.0 are the same configuration.
    weight = int(served.weight) if float(served.weight).is_integer() else served.weight
    return Variant(served.name, weight, bundle, image, served.instance, served.scaling)


def agree(variants: Sequence[Variant], where: str) -> None:
    """Raise PreflightFailed unless a request that the first variant takes is one for all, with an answer of the same
    form: callers do not choose who answers."""
    first = variants[0]
    for other in variants[1:]:
        changes = [each for each in diff(first.bundle.manifest, other.bundle.manifest)["signature"] if each["breaking"]]
        if changes:
            raise PreflightFailed(
                f"the variant {other.name} does not answer what {first.name} answers: "
                + "; ".join(_told(each) for each in changes[:3]),
                where=where,
                hint=f"cloudmodel diff {first.bundle.digest} {other.bundle.digest}",
            )


def _told(change: dict[str, Any]) -> str:
    what = f"{change['side']} {change['name']}".strip()
    return f"{what}: {change['change']}, {change['before']} against {change['after']}"
