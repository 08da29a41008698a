"""Bundles kept under an S3 prefix; the layout is `store`'s. What was fetched stays in a folder store, the cache."""

from __future__ import annotations

import base64
import contextlib
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cloudmodel.bundle import archive, signing
from cloudmodel.bundle.manifest import MANIFEST_NAME, Manifest
from cloudmodel.bundle.store import CACHE, MADE, FolderStore, absent, bounded, copy_verified, disk_errors, hex_of
from cloudmodel.core import files
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import BundleChanged, CloudmodelError, CredentialsMissing, UsageError
from cloudmodel.core.naming import DIGEST
from cloudmodel.core.progress import Report, silent

SINGLE_PUT = 5 * (1 << 30)  # S3's limit of one PutObject
PART = 64 << 20


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

    def workplace(self) -> AbstractContextManager[Path]:
        return self._cache.workplace()

    def keep(
        self, folder: Path, manifest: Manifest, report: Report = silent, digests: Digests | None = None
    ) -> tuple[str, Path]:
        digest, path = self._cache.keep(folder, manifest, report, digests)
        self.put(path)
        return digest, path

    def put(self, bundle: Path) -> str:
        manifest = archive.read_manifest(bundle)
        digest = f"sha256:{files.sha256(bundle / MANIFEST_NAME if bundle.is_dir() else bundle)}"
        with self._errors():
            if not self.has(digest):
                if bundle.is_dir():
                    for entry in manifest.files:
                        if not self._head(self._content(entry.sha256)):
                            self._upload(bundle / entry.path, self._content(entry.sha256), entry.sha256)
                    # Last, because a bundle is there when its manifest is.
                    self._upload(bundle / MANIFEST_NAME, self._manifest(digest), hex_of(digest))
                else:
                    self._upload(bundle, self._key(digest), hex_of(digest))
            pointer = f"{digest}\n".encode()
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}newest/{manifest.name}", Body=pointer)
        return digest

    def get(self, digest: str) -> Path:
        for place in (self._cache, self._made):
            if place.path(digest).exists():
                with contextlib.suppress(BundleChanged):  # a damaged one is fetched again
                    return place.get(digest)
        with self._errors():
            path = self._cache.path(digest)
            if path.is_dir():
                shutil.rmtree(path)
                return self._fetch_files(digest)
            if path.name == hex_of(digest):
                self._fetch(self._content(path.name), path, path.name)
                return path
            if self._fetch(self._key(digest), path, hex_of(digest)):
                return path
            if self._head(self._manifest(digest)):
                return self._fetch_files(digest)
            content = self._cache.content(hex_of(digest))
            if self._fetch(self._content(content.name), content, content.name):
                return content
        raise absent(digest, self.location)

    def has(self, digest: str) -> bool:
        with self._errors():
            return self._head(self._key(digest)) or self._head(self._manifest(digest))

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
            self._client.put_object(Bucket=self._bucket, Key=self._signature(digest), Body=signature)

    def signature(self, digest: str) -> bytes | None:
        if made := self._made.signature(digest):
            return made
        with self._errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._signature(digest))
            except self._client.exceptions.NoSuchKey:
                return None
            return bounded(answer["Body"].read(signing.MAX_SIGNATURE + 1), self.location)

    @property
    def _client(self) -> Any:
        if self._given is None:
            import boto3

            self._given = boto3.client("s3")
        return self._given

    def _key(self, digest: str) -> str:
        return f"{self._prefix}sha256/{hex_of(digest)}.tar.gz"

    def _manifest(self, digest: str) -> str:
        return f"{self._prefix}sha256/{hex_of(digest)}/{MANIFEST_NAME}"

    def _content(self, sha256: str) -> str:
        return f"{self._prefix}files/{sha256}"

    def _signature(self, digest: str) -> str:
        name = hex_of(digest) if self._head(self._manifest(digest)) else f"{hex_of(digest)}.tar.gz"
        return f"{self._prefix}sha256/{name}{signing.SUFFIX}"

    def _fetch_files(self, digest: str) -> Path:
        """A large bundle: what the cache has not is fetched, and each file is held against its digest."""
        with disk_errors(self._cache.location):
            listed = self._cache.root / "manifests" / hex_of(digest)
            if not self._fetch(self._manifest(digest), listed, hex_of(digest)):
                raise absent(digest, self.location)
            manifest = archive.decode_manifest(listed.read_bytes(), self.location)
            for entry in manifest.files:
                content = self._cache.content(entry.sha256)
                if content.exists() and files.sha256(content) == entry.sha256:
                    continue
                if not self._fetch(self._content(entry.sha256), content, entry.sha256):
                    raise BundleChanged(f"{entry.path} is missing from the bundle {digest}", where=self.location)
            return self._cache.link(digest, manifest)

    def _fetch(self, key: str, target: Path, sha256: str) -> bool:
        """Whether an object is there; if so, its bytes are at `target`. Raises BundleChanged for other bytes."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return False
        with disk_errors(str(target)), files.replacing(target) as writer:
            copy_verified(answer["Body"], writer, sha256, f"sha256:{sha256} ({key})", self.location)
        return True

    def _head(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404 and not _no_bucket(error):
                return False
            raise
        return True

    def _upload(self, path: Path, key: str, sha256: str) -> None:
        """One conditional write: of two that put the same bundle one wins, and both have what they wanted."""
        from botocore.exceptions import ClientError

        try:
            if path.stat().st_size <= SINGLE_PUT:
                checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
                with path.open("rb") as body:
                    self._client.put_object(
                        Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumSHA256=checksum
                    )
            else:
                self._upload_parts(path, key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise

    def _upload_parts(self, path: Path, key: str) -> None:
        target = {"Bucket": self._bucket, "Key": key}
        upload = self._client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256")["UploadId"]
        try:
            parts = []
            with path.open("rb") as body:
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
