"""Buckets and their settings on moto."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from cloudmodel.core.resource import DiffKind, ResourceFailure, ResourceNotReady
from cloudmodel.provider.errors import CallFailed

BUCKET = "aws:s3/bucket:Bucket"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
ACCESS = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


@pytest.fixture
def s3(aws: Any) -> Any:
    return boto3.client("s3", region_name="eu-west-1")


@pytest.fixture
def bucket(aws: Any) -> str:
    return str(aws.create(BUCKET, {"bucket": "the-bucket"}).id)


def test_a_bucket_from_create_to_delete(aws: Any, s3: Any) -> None:
    live = aws.create(BUCKET, {"tags": {"a": "b"}})
    assert live.id == live.outputs["bucket"] == aws.checked(BUCKET, {})["bucket"]
    assert live.outputs["arn"] == f"arn:aws:s3:::{live.id}"
    assert live.outputs["bucketRegionalDomainName"] == f"{live.id}.s3.eu-west-1.amazonaws.com"
    assert live.outputs["tagsAll"] == {"a": "b"}
    assert s3.get_bucket_location(Bucket=live.id)["LocationConstraint"] == "eu-west-1"
    assert aws.read(BUCKET, live) == live
    assert aws.find(BUCKET, live.inputs) == live.id
    changed = aws.update(BUCKET, live, {"tags": {"a": "c"}})
    assert aws.read(BUCKET, changed) == changed
    assert s3.get_bucket_tagging(Bucket=live.id)["TagSet"] == [{"Key": "a", "Value": "c"}]
    aws.delete(BUCKET, changed)
    assert aws.read(BUCKET, changed) is None
    assert aws.find(BUCKET, live.inputs) is None
    aws.delete(BUCKET, changed)


def test_tags_can_go_and_drift_is_seen(aws: Any, s3: Any) -> None:
    live = aws.create(BUCKET, {"tags": {"a": "b"}})
    s3.put_bucket_tagging(Bucket=live.id, Tagging={"TagSet": [{"Key": "hand", "Value": "made"}]})
    found = aws.read(BUCKET, live)
    assert found.inputs["tags"] == {"hand": "made"}
    assert aws.diff(BUCKET, found, {"tags": {"a": "b"}}).changes == {
        "tags.a": DiffKind.ADD,
        "tags.hand": DiffKind.DELETE,
    }
    assert aws.read(BUCKET, aws.update(BUCKET, found, {})).outputs["tagsAll"] == {}


def test_a_bucket_of_our_own_is_never_adopted_silently(aws: Any, bucket: str) -> None:
    with pytest.raises(ResourceFailure, match="this account has bucket the-bucket already") as failure:
        aws.create(BUCKET, {"bucket": bucket})
    assert "import it" in (failure.value.hint or "") and not failure.value.uncertain


def test_a_bucket_that_someone_else_has_is_said_so(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forbidden = CallFailed("s3", "HeadBucket", "403", "Forbidden", status=403)

    def call(self: Any, service: str, operation: str, **_: Any) -> Any:
        raise forbidden

    monkeypatch.setattr("cloudmodel.provider.cloud.Cloud.call", call)
    with pytest.raises(ResourceFailure, match="belongs to another account") as failure:
        aws.create(BUCKET, {"bucket": "taken-by-others"})
    assert "choose another" in (failure.value.hint or "")
    assert aws.provider._account.configuration.skip_account is False
    aws.provider._account._identity = {"Account": "123456789012"}
    assert aws.find(BUCKET, {"bucket": "taken-by-others"}) is None
    with pytest.raises(ResourceFailure, match="cannot be read"):
        aws.provider.read("urn", BUCKET, "taken-by-others", {}, {})


def test_a_bucket_of_another_region_is_not_what_a_create_left_behind(aws: Any) -> None:
    boto3.client("s3", region_name="us-east-2").create_bucket(
        Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "us-east-2"}
    )
    assert aws.find(BUCKET, {"bucket": "elsewhere"}) is None


def test_a_bucket_with_other_tags_is_not_ours(aws: Any, bucket: str, s3: Any) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "stack", "Value": "theirs"}]})
    assert aws.find(BUCKET, {"bucket": bucket, "tags": {"stack": "ours"}}) is None
    assert aws.find(BUCKET, {"bucket": bucket, "tags": {"stack": "theirs"}}) == bucket


def test_a_bucket_whose_tags_could_not_be_set_is_recorded_without_them(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudmodel.provider.cloud import Cloud

    real = Cloud.call

    def call(self: Cloud, service: str, operation: str, **parameters: Any) -> Any:
        if operation == "put_bucket_tagging":
            raise CallFailed("s3", "PutBucketTagging", "AccessDenied", "no", status=403)
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Cloud, "call", call)
    with pytest.raises(ResourceNotReady) as failure:
        aws.create(BUCKET, {"tags": {"a": "b"}})
    live = failure.value.live
    assert aws.diff(BUCKET, live, {"tags": {"a": "b"}}).changes == {"tags.a": DiffKind.ADD}


def test_a_bucket_with_something_in_it_is_kept(aws: Any, s3: Any) -> None:
    live = aws.create(BUCKET, {})
    s3.put_object(Bucket=live.id, Key="a", Body=b"x")
    with pytest.raises(ResourceFailure, match="is not empty") as failure:
        aws.delete(BUCKET, live)
    assert "forceDestroy" in (failure.value.hint or "")


def test_force_destroy_empties_every_version_and_marker(aws: Any, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudmodel.provider.s3.BATCH", 4)
    live = aws.create(BUCKET, {"forceDestroy": True})
    s3.put_bucket_versioning(Bucket=live.id, VersioningConfiguration={"Status": "Enabled"})
    for index in range(5):
        for _ in range(2):
            s3.put_object(Bucket=live.id, Key=f"{index}", Body=b"x")
    s3.delete_object(Bucket=live.id, Key="0")
    aws.delete(BUCKET, live)
    assert aws.read(BUCKET, live) is None


TLS_ONLY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}],
    }
)
SETTINGS = [
    (VERSIONING, {"versioningConfiguration": {"status": "Enabled"}},
     {"versioningConfiguration": {"status": "Suspended"}}),
    (ACCESS, {"blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True}, {"blockPublicAcls": True}),
    (OWNERSHIP, {"rule": {"objectOwnership": "BucketOwnerEnforced"}}, {"rule": {"objectOwnership": "ObjectWriter"}}),
    (ENCRYPTION,
     {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "k"},
                 "bucketKeyEnabled": True}]},
     {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]}),
    (POLICY, {"policy": TLS_ONLY}, {"policy": TLS_ONLY.replace("GetObject", "PutObject")}),
    (LIFECYCLE,
     {"rules": [{"id": "a", "status": "Enabled", "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}},
                {"id": "b", "status": "Enabled", "filter": {"prefix": "x/"}, "expiration": {"days": 9},
                 "noncurrentVersionExpiration": {"noncurrentDays": 30}}]},
     {"rules": [{"id": "a", "status": "Disabled", "filter": {"and": {"prefix": "y", "tags": {"k": "v"}}},
                 "transitions": [{"days": 30, "storageClass": "GLACIER"}]}]}),
]  # fmt: skip
IDS = [type.rsplit(":", 1)[-1] for type, *_ in SETTINGS]


@pytest.mark.parametrize(("type", "first", "second"), SETTINGS, ids=IDS)
def test_a_setting_from_create_to_delete(aws: Any, bucket: str, type: str, first: Any, second: Any) -> None:
    live = aws.create(type, {"bucket": bucket, **first})
    assert live.id == bucket
    assert aws.read(type, live) == live
    assert aws.find(type, live.inputs) == bucket
    assert aws.diff(type, live, {"bucket": bucket, **first}).changes == {}
    assert aws.diff(type, live, {"bucket": "other", **first}).replaces == ("bucket",)
    difference = aws.diff(type, live, {"bucket": bucket, **second})
    assert difference.changes and not difference.replaces
    changed = aws.update(type, live, {"bucket": bucket, **second})
    assert aws.read(type, changed) == changed
    assert aws.find(type, live.inputs) is None
    aws.delete(type, changed)
    if type != VERSIONING:
        assert aws.read(type, changed) is None
        aws.delete(type, changed)


@pytest.mark.parametrize(("type", "first", "second"), SETTINGS, ids=IDS)
def test_a_setting_of_a_bucket_that_is_gone_is_gone(aws: Any, bucket: str, type: str, first: Any, second: Any) -> None:
    live = aws.create(type, {"bucket": bucket, **first})
    aws.delete(BUCKET, aws.provider.read("urn", BUCKET, bucket, {}, {}))
    assert aws.read(type, live) is None
    aws.delete(type, live)


def test_versioning_is_suspended_when_its_resource_goes(aws: Any, bucket: str, s3: Any) -> None:
    live = aws.create(VERSIONING, {"bucket": bucket, "versioningConfiguration": {"status": "Enabled"}})
    aws.delete(VERSIONING, live)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_a_setting_that_is_to_stay_stays(aws: Any, bucket: str) -> None:
    live = aws.create(ACCESS, {"bucket": bucket, "blockPublicAcls": True, "skipDestroy": True})
    aws.delete(ACCESS, live)
    assert aws.read(ACCESS, live) is not None


def test_a_setting_is_imported_by_the_buckets_name(aws: Any, bucket: str) -> None:
    aws.create(VERSIONING, {"bucket": bucket, "versioningConfiguration": {"status": "Enabled"}})
    live = aws.provider.read("urn", VERSIONING, bucket, {}, {})
    assert live.inputs["versioningConfiguration"] == {"status": "Enabled"} and live.inputs["bucket"] == bucket
