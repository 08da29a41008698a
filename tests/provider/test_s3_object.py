"""Objects on moto: what is uploaded is what was planned."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloudmodel.core.resource import ARCHIVE, ASSET, SIGNATURE, DiffKind, Properties, ResourceFailure

TYPE = "aws:s3/bucketObjectv2:BucketObjectv2"


@pytest.fixture
def s3(aws: Any) -> Any:
    return boto3.client("s3", region_name="eu-west-1")


@pytest.fixture
def bucket(aws: Any, s3: Any) -> str:
    s3.create_bucket(Bucket="the-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return "the-bucket"


def asset(path: Path, hash: str | None = None) -> Properties:
    hash = hash or hashlib.sha256(path.read_bytes()).hexdigest()
    return {SIGNATURE: ASSET, "hash": hash, "path": str(path)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(b"\x1f\x8b" + bytes(range(256)) * 40)
    return path


def test_a_file_from_create_to_delete(aws: Any, s3: Any, bucket: str, file: Path) -> None:
    inputs = {"bucket": bucket, "key": "b/bundle.tar.gz", "source": asset(file), "contentType": "application/gzip"}
    live = aws.create(TYPE, inputs)
    assert live.id == "b/bundle.tar.gz"
    assert s3.get_object(Bucket=bucket, Key=live.id)["Body"].read() == file.read_bytes()
    digest = base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()
    assert live.outputs["checksumSha256"] == digest
    assert live.outputs["arn"] == f"arn:aws:s3:::{bucket}/b/bundle.tar.gz"
    assert aws.read(TYPE, live) == live
    assert aws.find(TYPE, live.inputs) == live.id
    assert aws.diff(TYPE, live, inputs).changes == {}
    file.write_bytes(b"other")
    news = {**inputs, "source": asset(file)}
    assert aws.diff(TYPE, live, news).changes == {"source": DiffKind.UPDATE}
    changed = aws.update(TYPE, live, news)
    assert s3.get_object(Bucket=bucket, Key=live.id)["Body"].read() == b"other"
    assert aws.read(TYPE, changed) == changed
    assert aws.find(TYPE, live.inputs) is None
    aws.delete(TYPE, changed)
    assert aws.read(TYPE, changed) is None
    aws.delete(TYPE, changed)


def test_the_checksum_goes_with_the_upload(aws: Any, bucket: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cloudmodel.provider.cloud import Cloud

    sent = {}
    real = Cloud.call

    def call(self: Cloud, service: str, operation: str, **parameters: Any) -> Any:
        sent.update(parameters)
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Cloud, "call", call)
    aws.create(
        TYPE, {"bucket": bucket, "key": "k", "source": asset(file), "kmsKeyId": "alias/k", "tags": {"a b": "c=d"}}
    )
    assert sent["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()
    assert (sent["SSEKMSKeyId"], sent["ServerSideEncryption"]) == ("alias/k", "aws:kms")
    assert sent["Tagging"] == "a+b=c%3Dd"


def test_a_file_that_changed_since_the_plan_is_not_uploaded(aws: Any, s3: Any, bucket: str, file: Path) -> None:
    planned = asset(file)
    file.write_bytes(b"changed")
    with pytest.raises(ResourceFailure, match="changed since the plan was made"):
        aws.create(TYPE, {"bucket": bucket, "key": "k", "source": planned})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({SIGNATURE: ASSET, "hash": "0" * 64, "path": "/nonexistent/x"}, "does not exist"),
        ({SIGNATURE: ARCHIVE, "hash": "0" * 64, "path": "/"}, "is not a file"),
        ({SIGNATURE: ASSET, "hash": "0" * 64, "uri": "https://example.com/x"}, "must be a file, not https"),
    ],
)
def test_what_cannot_be_uploaded_is_refused(aws: Any, bucket: str, source: Properties, message: str) -> None:
    with pytest.raises(ResourceFailure, match=message) as failure:
        aws.create(TYPE, {"bucket": bucket, "key": "k", "source": source})
    assert failure.value.hint and not failure.value.uncertain


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"content": "héllo"}, "héllo".encode()),
        ({"contentBase64": base64.b64encode(b"\0\1").decode()}, b"\0\1"),
        ({"source": {SIGNATURE: ASSET, "hash": hashlib.sha256(b"text").hexdigest(), "text": "text"}}, b"text"),
        ({}, b""),
    ],
)
def test_text_and_bytes_are_content_too(aws: Any, s3: Any, bucket: str, content: Properties, expected: bytes) -> None:
    live = aws.create(TYPE, {"bucket": bucket, "key": "k", **content})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == expected
    assert aws.read(TYPE, live) == live
    assert aws.find(TYPE, live.inputs) == "k"


def test_content_that_somebody_changed_is_seen_and_put_back(aws: Any, s3: Any, bucket: str, file: Path) -> None:
    inputs = {"bucket": bucket, "key": "k", "source": asset(file)}
    live = aws.create(TYPE, inputs)
    s3.put_object(Bucket=bucket, Key="k", Body=b"tampered", ChecksumAlgorithm="SHA256")
    found = aws.read(TYPE, live)
    assert "source" in aws.diff(TYPE, found, inputs).changes
    aws.update(TYPE, found, inputs)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == file.read_bytes()


def test_tags_alone_do_not_upload_again(aws: Any, s3: Any, bucket: str, file: Path) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    inputs = {"bucket": bucket, "key": "k", "source": asset(file)}
    live = aws.create(TYPE, inputs)
    changed = aws.update(TYPE, live, {**inputs, "tags": {"a": "b"}})
    assert changed.outputs["versionId"] == live.outputs["versionId"]
    assert aws.read(TYPE, changed) == changed


def test_every_version_of_the_key_goes_and_no_other_key(aws: Any, s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    live = aws.create(TYPE, {"bucket": bucket, "key": "k", "content": "1"})
    live = aws.update(TYPE, live, {"bucket": bucket, "key": "k", "content": "2"})
    s3.put_object(Bucket=bucket, Key="k2", Body=b"x")
    aws.delete(TYPE, live)
    assert [each["Key"] for each in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["k2"]


def test_an_object_is_imported_by_bucket_and_key(aws: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")
    live = aws.provider.read("urn", TYPE, f"{bucket}/a/b", {}, {})
    assert (live.id, live.inputs["bucket"], live.inputs["key"]) == ("a/b", bucket, "a/b")


def test_key_and_bucket_replace(aws: Any, bucket: str) -> None:
    live = aws.create(TYPE, {"bucket": bucket, "key": "k", "content": "1"})
    assert aws.diff(TYPE, live, {"bucket": "b", "key": "l", "content": "1"}).replaces == ("bucket", "key")


def test_an_upload_into_a_bucket_that_is_not_there_fails_readably(aws: Any, s3: Any) -> None:
    with pytest.raises(ResourceFailure, match="s3 PutObject: NoSuchBucket"):
        aws.create(TYPE, {"bucket": "nobody-made-this", "key": "k", "content": "1"})
