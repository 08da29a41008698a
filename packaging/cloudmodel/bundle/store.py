"""Bundles kept by digest, in a folder or under an S3 prefix.

ROOT/sha256/<hex>.tar.gz     an archive; never changed once it is there
ROOT/sha256/<hex>/           a large bundle as its files (on S3 `manifest.json` alone); <hex> is its manifest's sha256
ROOT/files/<hex>             the content of large bundles' files, each kept once; those in the folders are links to it
ROOT/sha256/<hex>[.tar.gz].sig   a bundle's signature, if it has one; another key may sign it again
ROOT/newest/<name>           the digest of the last bundle that was put under this name
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from cloudmodel.bundle import archive, signing
from cloudmodel.bundle.manifest import MANIFEST_NAME, Manifest
from cloudmodel.core import files, tar, workplace
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import BundleChanged, CloudmodelError, ProjectInvalid, UnsafeModel, UsageError
from cloudmodel.core.files import PRIVATE
from cloudmodel.core.naming import DIGEST
from cloudmodel.core.progress import Progress, Report, silent

CACHE = Path(PRIVATE) / "caches" / "bundles"
MADE = Path(PRIVATE) / "bundles"
"""Where this machine keeps the bundles that it makes."""
LARGE = 2 << 30
"""Bytes of files above which a bundle is kept as its files: weights hardly compress, an archive of them is written and
unpacked for minutes, and a shard that did not change would be in every one."""
WORK = ".building-"
"""What a folder is called in which a bundle is made."""
AGAIN = "cloudmodel package --push"
_WHOLE: dict[tuple[Path, str], tuple[Any, ...]] = {}
"""What this process has held against its digest already, and how it lay there then."""
ABSENT = "cloudmodel package --push, and pin the digest it prints: cloudmodel:bundle in Pulumi.<stack>.yaml"


class BundleStore(Protocol):
    """Where bundles are kept. Digests have the form `sha256:<hex>`."""

    location: str

    def workplace(self) -> AbstractContextManager[Path]:
        """An empty folder on the disk of what is kept here; it is gone in the end."""

    def keep(
        self, folder: Path, manifest: Manifest, report: Report = silent, digests: Digests | None = None
    ) -> tuple[str, Path]:
        """Make a bundle of the files that `manifest` lists in `folder`, the newest of its name; returns its digest
        and a local path. Files of a large one whose `digests` are known are moved out of `folder`."""

    def put(self, bundle: Path) -> str:
        """Keep an archive, or a large bundle's folder, and make it the newest of its name; returns its digest. Putting
        it again does nothing."""

    def get(self, digest: str) -> Path:
        """A local path whose bytes have this digest: an archive, the folder of a large bundle, or one of its files.
        Raises BundleChanged where the store's have not, UsageError where it has none."""

    def has(self, digest: str) -> bool:
        """Whether the store has a bundle of this digest."""

    def newest(self, name: str) -> str | None:
        """The digest of the last bundle put under `name`."""

    def attach(self, digest: str, signature: bytes) -> None:
        """Keep the signature of a bundle that is there, in place of an earlier one."""

    def signature(self, digest: str) -> bytes | None:
        """The signature of a bundle, which is only as good as the key it is verified with; None where it has none."""


def open_store(location: str, *, base: Path, client: Any = None) -> BundleStore:
    """The store at a folder (relative to `base`) or at `s3://bucket/prefix`; `client` is a boto3 S3 client, made on
    first use where none is given. Raises ProjectInvalid for another kind of place."""
    if location.startswith("s3://"):
        from cloudmodel.bundle.s3 import S3Store

        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket:
            raise ProjectInvalid("A bundle store needs a bucket: s3://bucket/prefix", where=f"bundles: {location}")
        return S3Store(location, bucket, prefix.strip("/"), base, client)
    if "://" in location:
        raise ProjectInvalid(
            f"Bundles are not kept at {location!r}", where="bundles", hint="give a folder or s3://bucket/prefix"
        )
    return FolderStore(base / Path(location).expanduser())


class FolderStore:
    """A store in a folder; it is made on the first put."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        made = not self.root.exists()
        with disk_errors(self.location):
            self.root.mkdir(parents=True, exist_ok=True)
        try:
            with workplace.folder(self.root, WORK) as work:
                yield work
        finally:
            if made:
                with contextlib.suppress(OSError):  # there is something in it now
                    self.root.rmdir()

    def keep(
        self, folder: Path, manifest: Manifest, report: Report = silent, digests: Digests | None = None
    ) -> tuple[str, Path]:
        with disk_errors(self.location):
            if sum(entry.size for entry in manifest.files) > LARGE:
                digest = self._keep_files(folder, manifest, report, digests or Digests())
            else:
                self.root.mkdir(parents=True, exist_ok=True)
                with workplace.folder(self.root, WORK) as work:
                    made = work / "bundle"
                    digest = archive.write(folder, manifest, made, report=report)
                    report(Progress("store", note=self.location))
                    self._archive(digest).parent.mkdir(exist_ok=True)
                    made.replace(self._archive(digest))
                    files.sync_folder(self._archive(digest).parent)
            self._name(manifest.name, digest)
        return digest, self.path(digest)

    def put(self, bundle: Path) -> str:
        manifest = archive.read_manifest(bundle)
        if bundle.is_dir():
            with disk_errors(self.location):
                digest = self._keep_files(bundle, manifest, silent, Digests())
                self._name(manifest.name, digest)
            return digest
        digest = f"sha256:{files.sha256(bundle)}"
        target = self._archive(digest)
        with disk_errors(self.location):
            if not target.exists():
                with bundle.open("rb") as reader, files.replacing(target) as writer:
                    copy_verified(reader, writer, hex_of(digest), f"The bundle {digest}", str(bundle))
            self._name(manifest.name, digest)
        return digest

    def get(self, digest: str) -> Path:
        path = self.path(digest)
        lies = _as_it_lies(path)
        if lies and _WHOLE.get((path, digest)) == lies:
            return path
        if path.is_dir():
            with pointing(path):
                if f"sha256:{files.sha256(path / MANIFEST_NAME)}" != digest:
                    raise BundleChanged(f"{MANIFEST_NAME} is not that of {digest}", where=self.location)
                archive.verify(path)
        elif not path.exists():
            raise absent(digest, self.location)
        elif (actual := f"sha256:{files.sha256(path)}") != digest:
            with pointing(path):
                raise BundleChanged(f"The bundle {digest} has the bytes of {actual}", where=self.location)
        _WHOLE[path, digest] = lies
        return path

    def has(self, digest: str) -> bool:
        return self._archive(digest).exists() or self._folder(digest).exists()

    def newest(self, name: str) -> str | None:
        try:
            digest = (self.root / "newest" / name).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return digest if DIGEST.fullmatch(digest) and self.has(digest) else None

    def attach(self, digest: str, signature: bytes) -> None:
        with disk_errors(self.location):
            files.write_bytes(signing.beside(self.path(digest)), signature)

    def signature(self, digest: str) -> bytes | None:
        return read_signature(self.path(digest))

    def path(self, digest: str) -> Path:
        """Where a bundle or a file lies, or would."""
        places = (self._folder(digest), self.content(hex_of(digest)))
        return next((each for each in places if each.exists()), self._archive(digest))

    def content(self, sha256: str) -> Path:
        """Where the content of a large bundle's file lies, or would."""
        return self.root / "files" / hex_of(f"sha256:{sha256}")

    def link(self, digest: str, manifest: Manifest) -> Path:
        """The folder of a large bundle, whole or not at all; its files' contents are here. Returns it."""
        target = self._folder(digest)
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with workplace.folder(self.root, WORK) as work:
            made = work / "bundle"
            made.mkdir()
            for entry in manifest.files:
                if reason := tar.why_unsafe(entry.path):
                    raise UnsafeModel(f"{entry.path!r} {reason}", where=digest)
                (made / entry.path).parent.mkdir(parents=True, exist_ok=True)
                os.link(self.content(entry.sha256), made / entry.path)
            (made / MANIFEST_NAME).write_bytes(archive.encode_manifest(manifest))
            with contextlib.suppress(FileExistsError):  # another run has made it meanwhile
                made.rename(target)
        files.sync_folder(target.parent)
        return target

    def _keep_files(self, folder: Path, manifest: Manifest, report: Report, digests: Digests) -> str:
        """Each content that is not here is moved where its digest is known, else copied, and read once for that; one
        that is here is not read at all."""
        digest = f"sha256:{hashlib.sha256(archive.encode_manifest(manifest)).hexdigest()}"
        total, done = sum(entry.size for entry in manifest.files), 0
        for entry in manifest.files:
            target = self.content(entry.sha256)
            source = folder / entry.path
            if not target.exists() and not (digests.known(source) == entry.sha256 and files.moved(source, target)):
                with source.open("rb") as reader, files.replacing(target, mode=0o444) as writer:
                    copy_verified(reader, writer, entry.sha256, entry.path, str(folder))
            done += entry.size
            report(Progress("archive", done, total, entry.path))
        report(Progress("store", note=self.location))
        self.link(digest, manifest)
        return digest

    def _name(self, name: str, digest: str) -> None:
        files.write_text(self.root / "newest" / name, f"{digest}\n")

    def _archive(self, digest: str) -> Path:
        return self.root / "sha256" / f"{hex_of(digest)}.tar.gz"

    def _folder(self, digest: str) -> Path:
        return self.root / "sha256" / hex_of(digest)


def _as_it_lies(path: Path) -> tuple[Any, ...]:
    """What a change of a file, or of any file below a folder, changes too: the time of its last change, which nobody
    sets, tells even what kept its size. Empty where nothing lies there."""
    found = []
    for each in (path, *sorted(path.rglob("*"))):
        with contextlib.suppress(FileNotFoundError):
            seen = each.lstat()
            found.append((each, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    return tuple(found)


def hex_of(digest: str) -> str:
    """The hex digits of `sha256:<hex>`. Raises UsageError for another text."""
    if not DIGEST.fullmatch(digest):
        raise UsageError(f"{digest!r} is not a digest", hint="it has the form sha256:<64 hex digits>")
    return digest.removeprefix("sha256:")


@contextlib.contextmanager
def disk_errors(where: str) -> Iterator[None]:
    """A disk that is full or must not be written, in the words of core.errors."""
    try:
        yield
    except OSError as error:
        raise CloudmodelError(
            f"The bundle could not be kept: {error.strerror or error}",
            where=where,
            hint="nothing half-written is left; make room or mend the permissions, then try again",
        ) from error


@contextlib.contextmanager
def pointing(path: Path) -> Iterator[None]:
    """A bundle of this store that changed is deleted and made again."""
    try:
        yield
    except BundleChanged as error:
        error.hint = f"delete {path}, then {AGAIN}"
        raise


def read_signature(bundle: Path) -> bytes | None:
    """The signature that lies beside a bundle; None where there is none. Raises UnsafeModel for a monstrous one."""
    path = signing.beside(bundle)
    try:
        with path.open("rb") as file:
            return bounded(file.read(signing.MAX_SIGNATURE + 1), str(path))
    except FileNotFoundError:
        return None


def bounded(signature: bytes, where: str) -> bytes:
    """Raises UnsafeModel for a signature that no bundle can have."""
    if len(signature) > signing.MAX_SIGNATURE:
        raise UnsafeModel(f"A signature of more than {signing.MAX_SIGNATURE:,} bytes", where=where)
    return signature


def absent(digest: str, location: str) -> UsageError:
    """That a store has no such bundle."""
    return UsageError(f"There is no bundle {digest}", where=location, hint=ABSENT)


def copy_verified(reader: Any, writer: Any, sha256: str, what: str, where: str) -> None:
    """Copy and hash; raises BundleChanged before the copy takes its place."""
    hashing = hashlib.sha256()
    while piece := reader.read(files.CHUNK):
        hashing.update(piece)
        writer.write(piece)
    if hashing.hexdigest() != sha256:
        raise BundleChanged(
            f"{what} has the bytes of sha256:{hashing.hexdigest()}",
            where=where,
            hint=f"do not use it; find out who changed it, delete it there, then {AGAIN}",
        )


__all__ = ["BundleStore", "FolderStore", "open_store", "read_signature"]
