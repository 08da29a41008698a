"""The model data of a container definition: found in the local S3, fetched, unpacked."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmodel.bundle.archive import extract, extract_plain, verify
from cloudmodel.bundle.manifest import MANIFEST_NAME
from cloudmodel.core.files import write_bytes


class NoModelData(Exception):
    """There is nothing to serve at the place that a container definition names; the message is for the user."""


@dataclass(frozen=True)
class ModelData:
    """Bytes that a worker can serve: `digest` names them, `unpack` fills a folder with them."""

    digest: str
    unpack: Callable[[Path], None]


def location(container: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Where the container's model data is, and whether it is a prefix of many objects; None where it has none."""
    if container.get("ModelDataUrl"):
        return container["ModelDataUrl"], False
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if source:
        return source["S3Uri"], source.get("S3DataType") == "S3Prefix"
    return None


def exists(account: str, partition: str, container: Mapping[str, Any]) -> bool:
    """Whether something is at the container's place; true for a container without model data."""
    place = location(container)
    return place is None or bool(_objects(account, partition, *place))


def fetch(account: str, partition: str, container: Mapping[str, Any]) -> ModelData:
    """The data of a container definition. Raises NoModelData. The caller holds the lock of the backends."""
    place = location(container)
    if place is None:
        raise NoModelData("the local AWS runs bundles, not images: the model has no ModelDataUrl")
    url, many = place
    found = {name: entry.value for name, entry in _objects(account, partition, url, many).items()}
    if not found:
        raise NoModelData(
            f'Failed to download model data from URL: "{url}". Please ensure that there is an object located at the '
            "URL and that the role passed to CreateModel has permissions to download the model."
        )
    if many:
        digest = hashlib.sha256()
        for name, content in sorted(found.items()):
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\0".encode())
        return ModelData(f"sha256:{digest.hexdigest()}", lambda folder: _write_all(found, folder))
    (archive,) = found.values()
    return ModelData(f"sha256:{hashlib.sha256(archive).hexdigest()}", lambda folder: unpack(archive, folder))


def unpack(archive: bytes, folder: Path) -> None:
    """Extract a `.tar.gz` into `folder`, which must not exist: a bundle is held against its manifest, another archive
    is not. Raises what `bundle.archive` raises."""
    packed = folder.with_name("model.tar.gz")
    write_bytes(packed, archive)
    try:
        (extract if _is_bundle(packed) else extract_plain)(packed, folder)
    finally:
        packed.unlink()


def _is_bundle(archive: Path) -> bool:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            first = tar.next()
    except (tarfile.TarError, EOFError, OSError):
        return False  # the reader that trusts nothing says what is wrong with it
    return first is not None and first.name == MANIFEST_NAME


def _objects(account: str, partition: str, url: str, many: bool) -> dict[str, Any]:
    """Objects at `url` by their name below it."""
    from moto.s3.models import s3_backends

    bucket_name, _, name = url.removeprefix("s3://").partition("/")
    bucket = s3_backends[account][partition].buckets.get(bucket_name)
    if bucket is None or not url.startswith("s3://"):
        return {}
    live = {key: entry for key, entry in bucket.keys.items() if hasattr(entry, "value")}  # no delete markers
    if not many:
        return {name: live[name]} if name in live else {}
    return {key[len(name) :].lstrip("/"): entry for key, entry in live.items() if key.startswith(name)}


def _write_all(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise NoModelData(f"the model data holds {name!r}, which lies outside its folder")
        if not name.endswith("/"):
            write_bytes(path, content)
    if MANIFEST_NAME in files:
        verify(folder)
