"""Amazon S3: objects. A file is uploaded with the checksum of what was read, so S3 keeps exactly that or nothing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cloudmodel.core.files import sha256
from cloudmodel.core.resource import ASSET, SIGNATURE, Live, Properties, ResourceFailure
from cloudmodel.provider.checks import DEFAULTS
from cloudmodel.provider.cloud import Answer, Cloud
from cloudmodel.provider.diffs import compare
from cloudmodel.provider.managed import Managed, is_ours
from cloudmodel.provider.rules.form import from_aws, to_aws

ABSENT = ("NoSuchKey", "NoSuchBucket", "404")
# Properties that PutObject does not take.
NOT_SENT = ("region", "tags", "bucket", "key", "etag")
CONTENT = ("source", "content", "contentBase64")
SINGLE_PUT_BYTES = 5 * 1024**3
TAGS_ONLY = frozenset({"tags", "forceDestroy"})
DEFAULT_TYPE = "binary/octet-stream"


class BucketObject(Managed):
    """Its id is the key; an import's id is `bucket/key`."""

    type = "aws:s3/bucketObjectv2:BucketObjectv2"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        key = inputs.get("key") or _key(inputs)
        answer = self._put(cloud, key, inputs)
        return self._made(cloud, key, inputs, answer)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        bucket, key = (old["bucket"], id) if old.get("bucket") else _import_id(id)
        head = cloud.find("s3", "head_object", *ABSENT, Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        if head is None:
            return None
        found = {
            **from_aws({name: each for name, each in self.rule.fields.items() if name not in NOT_SENT}, head),
            "bucket": bucket,
            "key": key,
            "etag": head["ETag"].strip('"'),
            "tags": self._tags(cloud, bucket, key),
            **drifted(old, head),
        }
        return self.seen(cloud, key, found, old, **computed(cloud, bucket, key, head))

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        changed = {
            name for name, each in self.rule.fields.items() if any(compare(each, name, old.get(name), inputs.get(name)))
        }
        if changed - TAGS_ONLY:
            return self._made(cloud, id, inputs, self._put(cloud, id, inputs))
        bucket = inputs["bucket"]
        if "tags" in changed:
            wanted = inputs.get("tags") or {}
            pairs = [{"Key": name, "Value": text} for name, text in sorted(wanted.items())]
            cloud.call("s3", "put_object_tagging", Bucket=bucket, Key=id, Tagging={"TagSet": pairs})
        kept = ("arn", "versionId", "checksumSha256", "contentType", "serverSideEncryption", "kmsKeyId", "etag")
        return self.made(cloud, id, inputs, **{name: old.get(name) for name in kept if name not in inputs})

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        bucket = old["bucket"]
        bypass = {"BypassGovernanceRetention": True} if old.get("forceDestroy") else {}
        for version in self._versions(cloud, bucket, id):
            cloud.find("s3", "delete_object", *ABSENT, Bucket=bucket, Key=id, VersionId=version, **bypass)

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        """An object with the content that was asked for; a lost upload leaves all of it or nothing."""
        key = inputs.get("key") or _key(inputs)
        live = self.read(cloud, key, {**inputs, "key": key})
        wanted = content_sha256(inputs)
        if live is None or not is_ours(live.outputs, inputs) or live.outputs.get("checksumSha256") != wanted:
            return None
        return live.id

    def _put(self, cloud: Cloud, key: str, inputs: Properties) -> Answer:
        fields = {name: each for name, each in self.rule.fields.items() if name not in NOT_SENT}
        parameters = {"Bucket": inputs["bucket"], "Key": key, **to_aws(fields, inputs)}
        if wanted := inputs.get("tags"):
            parameters["Tagging"] = _query(wanted)
        if "SSEKMSKeyId" in parameters:
            parameters.setdefault("ServerSideEncryption", "aws:kms")
        algorithm = inputs.get("checksumAlgorithm", "SHA256")
        with opened(inputs) as (body, size, digest):
            if size > SINGLE_PUT_BYTES:
                raise ResourceFailure(
                    f"{key} has {size} bytes; one upload takes at most 5 GiB",
                    hint="push the bundle with `cloudmodel package --push` and refer to it",
                )
            parameters["ChecksumAlgorithm"] = algorithm
            if algorithm == "SHA256":
                parameters["ChecksumSHA256"] = digest
            answer = cloud.call("s3", "put_object", Body=body, ContentLength=size, **parameters)
        if algorithm == "SHA256":
            answer.setdefault("ChecksumSHA256", digest)
        return answer

    def _made(self, cloud: Cloud, key: str, inputs: Properties, answer: Answer) -> Live:
        filled = {
            "key": key,
            "contentType": DEFAULT_TYPE,
            "etag": str(answer.get("ETag", "")).strip('"'),
            "kmsKeyId": answer.get("SSEKMSKeyId"),
            "serverSideEncryption": answer.get("ServerSideEncryption"),
        }
        mine = {name: value for name, value in filled.items() if name not in inputs or name == DEFAULTS}
        return self.made(cloud, key, inputs, **mine, **computed(cloud, inputs["bucket"], key, answer))

    def _tags(self, cloud: Cloud, bucket: str, key: str) -> dict[str, str]:
        answer = cloud.find("s3", "get_object_tagging", *ABSENT, Bucket=bucket, Key=key)
        return {each["Key"]: each["Value"] for each in (answer or {}).get("TagSet", ())}

    def _versions(self, cloud: Cloud, bucket: str, key: str) -> list[str]:
        """Every version and delete marker of this key; the one that has none where the bucket keeps none."""
        page = cloud.find("s3", "list_object_versions", "NoSuchBucket", Bucket=bucket, Prefix=key) or {}
        both = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        return [each["VersionId"] for each in both if each["Key"] == key]


def computed(cloud: Cloud, bucket: str, key: str, answer: Answer) -> Properties:
    """The outputs that only S3 knows."""
    version = answer.get("VersionId")
    return {
        "arn": cloud.arn("s3", f"{bucket}/{key}", region=False, account=False),
        "checksumSha256": answer.get("ChecksumSHA256"),
        "versionId": version if version != "null" else None,
    }


def drifted(old: Properties, head: Answer) -> Properties:
    """What `source` or `content` must be called when S3 holds other bytes: an asset with the live hash, or no text."""
    live = head.get("ChecksumSHA256")
    said = content_sha256(old, read_files=False)
    if not live or not said or live == said or "-" in live:
        return {}
    name = next(each for each in CONTENT if each in old)
    return {name: {SIGNATURE: ASSET, "hash": base64.b64decode(live).hex(), "path": ""} if name == "source" else ""}


def content_sha256(inputs: Properties, *, read_files: bool = True) -> str | None:
    """The base64 sha256 of what the inputs want uploaded, as S3 tells it; of a file by the hash that the engine
    took."""
    source = inputs.get("source")
    if isinstance(source, dict):
        if source.get(SIGNATURE) == ASSET and len(source.get("hash") or "") == 64:
            return base64.b64encode(bytes.fromhex(source["hash"])).decode()
        if not read_files:
            return None
    elif "content" not in inputs and "contentBase64" not in inputs:
        return _digest(b"") if read_files else None
    with opened(inputs) as (_, __, digest):
        return digest


@contextlib.contextmanager
def opened(inputs: Properties) -> Iterator[tuple[IO[bytes], int, str]]:
    """The bytes to upload, how many there are, and their base64 sha256. Raises ResourceFailure."""
    source = inputs.get("source")
    if isinstance(source, dict) and "text" not in source:
        if not source.get("path"):
            raise ResourceFailure(
                "an object's source must be a file" + (f", not {source['uri']}" if source.get("uri") else ""),
                hint="use pulumi.FileAsset, or download it first",
            )
        path = Path(source["path"])
        try:
            if not path.is_file():
                raise ResourceFailure(
                    f"{path} is not a file" if path.exists() else f"{path} does not exist",
                    hint="run `cloudmodel package` again; a folder must be packed into one file first",
                )
            digest = sha256(path)
            wanted = source.get("hash")
            if source.get(SIGNATURE) == ASSET and wanted and digest != wanted:
                raise ResourceFailure(
                    f"{path} changed since the plan was made (sha256 {digest[:12]}, planned {wanted[:12]})",
                    hint="run again to plan with the file as it is now",
                )
            with path.open("rb") as file:
                yield file, path.stat().st_size, base64.b64encode(bytes.fromhex(digest)).decode()
        except OSError as error:
            raise ResourceFailure(f"{path} cannot be read: {error.strerror}") from error
        return
    data = _inline(inputs)
    yield io.BytesIO(data), len(data), _digest(data)


def _inline(inputs: Properties) -> bytes:
    source = inputs.get("source")
    if isinstance(source, dict):
        return str(source["text"]).encode()
    if "contentBase64" in inputs:
        try:
            return base64.b64decode(inputs["contentBase64"], validate=True)
        except ValueError as error:
            raise ResourceFailure("contentBase64 is not base64") from error
    return str(inputs.get("content", "")).encode()


def _digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _key(inputs: Properties) -> str:
    source = inputs.get("source")
    name = Path(source["path"]).name if isinstance(source, dict) and source.get("path") else ""
    if not name:
        raise ResourceFailure("an object without a file needs a key", hint="set key on the BucketObjectv2")
    return name


def _import_id(id: str) -> tuple[str, str]:
    bucket, _, key = id.removeprefix("s3://").partition("/")
    return bucket, key


def _query(tags: dict[str, str]) -> str:
    from urllib.parse import urlencode

    return urlencode(sorted(tags.items()))


TYPES = (BucketObject(),)
