"""Bundles kept by digest, in a folder or under an S3 prefix.

ROOT/sha256/<hex>.tar.gz     an archive; never changed once it is there
ROOT/sha256/<hex>.tar.gz.sig its signature, if it has one; another key may sign it again
ROOT/newest/<name>           the digest of the last bundle that was put under this name
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from cloudmodel.bundle import signing
from cloudmodel.bundle.archive import read_manifest
from cloudmodel.core import files
from cloudmodel.core.errors import (
    BundleChanged,
    CloudmodelError,
    CredentialsMissing,
    ProjectInvalid,
    UnsafeModel,
    UsageError,
)
from cloudmodel.core.naming import DIGEST

CACHE = Path(".cloudmodel") / "caches" / "bundles"
MADE = Path(".cloudmodel") / "bundles"
"""Where this machine keeps the bundles that it makes."""
SINGLE_PUT = 5 * (1 << 30)  # S3's limit of one PutObject
PART = 64 << 20
AGAIN = "cloudmodel package --push"
ABSENT = "cloudmodel package --push, and pin the digest it prints: cloudmodel:bundle in Pulumi.<stack>.yaml"


class BundleStore(Protocol):
    """Where bundles are kept. Digests have the form `sha256:<hex>`."""

    location: str

    def put(self, archive: Path) -> str:
        """Keep an archive and make it the newest of its name; returns its digest. Putting it again does nothing."""

    def get(self, digest: str) -> Path:
        """A local path whose bytes have this digest. Raises BundleChanged where the store's have not, UsageError
        where it has none."""

    def has(self, digest: str) -> bool:
        """Whether the store has it."""

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

    def put(self, archive: Path) -> str:
        digest = f"sha256:{files.sha256(archive)}"
        name = read_manifest(archive).name
        target = self._path(digest)
        with _disk_errors(self.location):
            if not target.exists():
                with archive.open("rb") as reader, files.replacing(target) as writer:
                    _copy_verified(reader, writer, digest, str(archive))
            files.write_text(self.root / "newest" / name, f"{digest}\n")
        return digest

    def get(self, digest: str) -> Path:
        path = self._path(digest)
        if not path.exists():
            raise _absent(digest, self.location)
        _verify(path, digest, self.location)
        return path

    def has(self, digest: str) -> bool:
        return self._path(digest).exists()

    def newest(self, name: str) -> str | None:
        try:
            digest = (self.root / "newest" / name).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return digest if DIGEST.fullmatch(digest) and self.has(digest) else None

    def attach(self, digest: str, signature: bytes) -> None:
        with _disk_errors(self.location):
            files.write_bytes(signing.beside(self._path(digest)), signature)

    def signature(self, digest: str) -> bytes | None:
        return read_signature(self._path(digest))

    def _path(self, digest: str) -> Path:
        return self.root / "sha256" / f"{_hex(digest)}.tar.gz"


class S3Store:
    """A store under an S3 prefix, with what was fetched from it and what was made here in folders of `base`: a digest
    names the same bytes wherever they lie."""

    def __init__(self, location: str, bucket: str, prefix: str, base: Path, client: Any) -> None:
        self.location = location
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._cache = FolderStore(base / CACHE)
        self._made = FolderStore(base / MADE)
        self._given = client

    def put(self, archive: Path) -> str:
        name = read_manifest(archive).name
        digest = f"sha256:{files.sha256(archive)}"
        with self._errors():
            if not self.has(digest):
                self._upload(archive, digest)
            pointer = f"{digest}\n".encode()
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}newest/{name}", Body=pointer)
        return digest

    def get(self, digest: str) -> Path:
        for place in (self._cache, self._made):
            if place.has(digest):
                with contextlib.suppress(BundleChanged):  # a damaged one is fetched again
                    return place.get(digest)
        path = self._cache._path(digest)
        with self._errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(digest))
            except self._client.exceptions.NoSuchKey:
                raise _absent(digest, self.location) from None
            with _disk_errors(str(path)), files.replacing(path) as writer:
                _copy_verified(answer["Body"], writer, digest, self.location)
        return path

    def has(self, digest: str) -> bool:
        with self._errors():
            return self._head(self._key(digest))

    def newest(self, name: str) -> str | None:
        with self._errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}newest/{name}")
            except self._client.exceptions.NoSuchKey:
                return None
            digest = answer["Body"].read(100).decode("ascii", "replace").strip()
        return digest if DIGEST.fullmatch(digest) and self.has(digest) else None

    def attach(self, digest: str, signature: bytes) -> None:
        with self._errors():
            self._client.put_object(Bucket=self._bucket, Key=self._key(digest) + signing.SUFFIX, Body=signature)

    def signature(self, digest: str) -> bytes | None:
        if made := self._made.signature(digest):
            return made
        with self._errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(digest) + signing.SUFFIX)
            except self._client.exceptions.NoSuchKey:
                return None
            return _bounded(answer["Body"].read(signing.MAX_SIGNATURE + 1), self.location)

    @property
    def _client(self) -> Any:
        if self._given is None:
            import boto3

            self._given = boto3.client("s3")
        return self._given

    def _key(self, digest: str) -> str:
        return f"{self._prefix}sha256/{_hex(digest)}.tar.gz"

    def _head(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404 and not _no_bucket(error):
                return False
            raise
        return True

    def _upload(self, archive: Path, digest: str) -> None:
        """One conditional write: of two that put the same bundle one wins, and both have what they wanted."""
        from botocore.exceptions import ClientError

        key = self._key(digest)
        try:
            if archive.stat().st_size <= SINGLE_PUT:
                checksum = base64.b64encode(bytes.fromhex(_hex(digest))).decode()
                with archive.open("rb") as body:
                    self._client.put_object(
                        Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumSHA256=checksum
                    )
            else:
                self._upload_parts(archive, key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise

    def _upload_parts(self, archive: Path, key: str) -> None:
        target = {"Bucket": self._bucket, "Key": key}
        upload = self._client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256")["UploadId"]
        try:
            parts = []
            with archive.open("rb") as body:
                for number, piece in enumerate(iter(lambda: body.read(PART), b""), 1):
                    part = self._client.upload_part(**target, UploadId=upload, PartNumber=number, Body=piece,
                                                    ChecksumAlgorithm="SHA256")  # fmt: skip
                    parts.append({name: part[name] for name in ("ETag", "ChecksumSHA256") if name in part}
                                 | {"PartNumber": number})  # fmt: skip
            self._client.complete_multipart_upload(
                **target, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            with contextlib.suppress(Exception):
                self._client.abort_multipart_upload(**target, UploadId=upload)
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What boto3 raises, in the words of core.errors."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except NoCredentialsError as error:
            raise CredentialsMissing(str(error), where=self.location, hint="aws configure, or aws sso login") from error
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if _no_bucket(error):
                raise UsageError("There is no such bucket", where=self.location, hint="check bundles:") from error
            kind = CredentialsMissing if code in _CREDENTIAL_CODES else CloudmodelError
            raise kind(f"The bundle store refuses: {error}", where=self.location) from error
        except BotoCoreError as error:
            raise CloudmodelError(f"The bundle store does not answer: {error}", where=self.location) from error


_CREDENTIAL_CODES = ("AccessDenied", "403", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch")


def _no_bucket(error: Any) -> bool:
    return bool(error.response["Error"]["Code"] == "NoSuchBucket")


def _hex(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise UsageError(f"{digest!r} is not a digest", hint="it has the form sha256:<64 hex digits>")
    return digest.removeprefix("sha256:")


@contextlib.contextmanager
def _disk_errors(where: str) -> Iterator[None]:
    """A disk that is full or must not be written, in the words of core.errors."""
    try:
        yield
    except OSError as error:
        raise CloudmodelError(
            f"The bundle could not be kept: {error.strerror or error}",
            where=where,
            hint="nothing half-written is left; make room or mend the permissions, then try again",
        ) from error


def read_signature(bundle: Path) -> bytes | None:
    """The signature that lies beside a bundle; None where there is none. Raises UnsafeModel for a monstrous one."""
    path = signing.beside(bundle)
    try:
        with path.open("rb") as file:
            return _bounded(file.read(signing.MAX_SIGNATURE + 1), str(path))
    except FileNotFoundError:
        return None


def _bounded(signature: bytes, where: str) -> bytes:
    if len(signature) > signing.MAX_SIGNATURE:
        raise UnsafeModel(f"A signature of more than {signing.MAX_SIGNATURE:,} bytes", where=where)
    return signature


def _absent(digest: str, location: str) -> UsageError:
    return UsageError(f"There is no bundle {digest}", where=location, hint=ABSENT)


def _verify(path: Path, digest: str, where: str) -> None:
    actual = f"sha256:{files.sha256(path)}"
    if actual != digest:
        raise BundleChanged(
            f"The bundle {digest} has the bytes of {actual}", where=where, hint=f"delete {path}, then {AGAIN}"
        )


def _copy_verified(reader: Any, writer: Any, digest: str, where: str) -> None:
    """Copy and hash; raises BundleChanged before the copy takes its place."""
    hashing = hashlib.sha256()
    while piece := reader.read(files.CHUNK):
        hashing.update(piece)
        writer.write(piece)
    if hashing.hexdigest() != _hex(digest):
        raise BundleChanged(
            f"The bundle {digest} has the bytes of sha256:{hashing.hexdigest()}",
            where=where,
            hint=f"do not use it; find out who changed it, delete it there, then {AGAIN}",
        )


__all__ = ["BundleStore", "FolderStore", "S3Store", "open_store", "read_signature"]
