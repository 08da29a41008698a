"""Bundles are kept by digest: putting one twice changes nothing, and changed bytes are never handed out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

import bundle_parts
from cloudmodel.bundle import s3
from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.core.errors import BundleChanged, CloudmodelError, CredentialsMissing, ProjectInvalid, UsageError
from cloudmodel.core.files import sha256

ABSENT = "sha256:" + "0" * 64


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, client: Any) -> BundleStore:
    location = "bundles" if request.param == "folder" else "s3://bucket/some/prefix"
    return open_store(location, base=tmp_path / "project", client=client)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz", "first")


def test_a_bundle_comes_back_by_its_digest(store: BundleStore, packed: Path) -> None:
    digest = store.put(packed)
    assert digest == f"sha256:{sha256(packed)}"
    assert store.has(digest)
    assert store.get(digest).read_bytes() == packed.read_bytes()
    assert store.put(packed) == digest


def test_what_was_made_here_needs_no_store_that_answers(packed: Path, tmp_path: Path, client: Any) -> None:
    base = tmp_path / "project"
    made, shared = (open_store(place, base=base, client=client) for place in (".cloudmodel/bundles", "s3://nowhere/x"))
    digest = made.put(packed)
    made.attach(digest, b"signature")
    assert shared.get(digest).read_bytes() == packed.read_bytes()
    assert shared.signature(digest) == b"signature"
    shared.get(digest).write_bytes(b"changed")
    with pytest.raises(UsageError, match="no such bucket"):
        shared.get(digest)


def test_the_newest_is_the_last_that_was_put_under_its_name(store: BundleStore, packed: Path, tmp_path: Path) -> None:
    assert store.newest("first") is None
    first = store.put(packed)
    (tmp_path / "other").mkdir()
    other = store.put(bundle_parts.pack(tmp_path / "other", tmp_path / "b.tar.gz", "second"))
    assert (store.newest("first"), store.newest("second"), store.newest("third")) == (first, other, None)


def test_a_signature_lies_beside_its_bundle_and_another_takes_its_place(
    store: BundleStore, packed: Path, client: Any, tmp_path: Path
) -> None:
    digest = store.put(packed)
    assert store.signature(digest) is None
    for signature in (b"one", b"two"):
        store.attach(digest, signature)
        assert store.signature(digest) == signature
    key = f"sha256/{digest[7:]}.tar.gz.sig"
    in_s3 = {each["Key"] for each in client.list_objects_v2(Bucket="bucket").get("Contents", [])}
    assert f"some/prefix/{key}" in in_s3 or (tmp_path / "project/bundles" / key).is_file()


def test_what_is_not_there_says_so(store: BundleStore) -> None:
    assert not store.has(ABSENT)
    with pytest.raises(UsageError, match="no bundle") as caught:
        store.get(ABSENT)
    assert caught.value.where == store.location
    with pytest.raises(UsageError, match="not a digest"):
        store.get("sha256:../../etc/passwd")


def test_changed_bytes_in_a_folder_are_not_handed_out(tmp_path: Path, packed: Path) -> None:
    store = open_store("bundles", base=tmp_path)
    digest = store.put(packed)
    path = store.get(digest)
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(BundleChanged, match="has the bytes of") as caught:
        store.get(digest)
    assert caught.value.code == 14


def test_changed_bytes_in_s3_are_not_handed_out(tmp_path: Path, packed: Path, client: Any) -> None:
    store = open_store("s3://bucket", base=tmp_path, client=client)
    digest = store.put(packed)
    client.put_object(Bucket="bucket", Key=f"sha256/{digest[7:]}.tar.gz", Body=b"swapped")
    with pytest.raises(BundleChanged, match="has the bytes of"):
        store.get(digest)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "caches" in path.parts]


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, packed: Path, client: Any) -> None:
    store = open_store("s3://bucket/p", base=tmp_path, client=client)
    digest = store.put(packed)
    store.get(digest).write_bytes(b"damaged")
    assert store.get(digest).read_bytes() == packed.read_bytes()


def test_a_cached_bundle_needs_no_network(tmp_path: Path, packed: Path, client: Any) -> None:
    store = open_store("s3://bucket/p", base=tmp_path, client=client)
    digest = store.put(packed)
    store.get(digest)
    assert open_store("s3://bucket/p", base=tmp_path, client=object()).get(digest).exists()


def test_of_two_that_put_the_same_bundle_both_have_it(tmp_path: Path, packed: Path, client: Any) -> None:
    key = f"p/sha256/{sha256(packed)}.tar.gz"
    store = open_store("s3://bucket/p", base=tmp_path, client=client)

    class Late:
        """A client whose look comes before the other one's write."""

        exceptions = client.exceptions

        def head_object(self, **arguments: Any) -> Any:
            try:
                return client.head_object(**arguments)
            finally:
                client.put_object(Bucket="bucket", Key=key, Body=packed.read_bytes())

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    late = open_store("s3://bucket/p", base=tmp_path / "late", client=Late())
    assert late.put(packed) == store.put(packed)
    assert client.get_object(Bucket="bucket", Key=key)["Body"].read() == packed.read_bytes()


def test_a_large_bundle_goes_in_parts(
    tmp_path: Path, packed: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "SINGLE_PUT", 0)
    store = open_store("s3://bucket/p", base=tmp_path, client=client)
    digest = store.put(packed)
    assert store.get(digest).read_bytes() == packed.read_bytes()
    assert not client.list_multipart_uploads(Bucket="bucket").get("Uploads")


def test_an_upload_that_fails_leaves_nothing(
    tmp_path: Path, packed: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "SINGLE_PUT", 0)

    class Broken:
        exceptions = client.exceptions

        def complete_multipart_upload(self, **_: Any) -> Any:
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    with pytest.raises(KeyboardInterrupt):
        open_store("s3://bucket/p", base=tmp_path, client=Broken()).put(packed)
    assert not client.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert "Contents" not in client.list_objects_v2(Bucket="bucket")


def test_a_full_disk_leaves_no_half_bundle(tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("bundles", base=tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CloudmodelError, match="No space") as caught:
            store.put(packed)
    assert "make room" in str(caught.value.hint)
    assert not [path for path in (tmp_path / "bundles").rglob("*") if path.is_file()]
    assert store.newest("first") is None
    assert store.has(store.put(packed))


def test_a_bucket_that_is_not_there(tmp_path: Path, packed: Path, client: Any) -> None:
    store = open_store("s3://absent/p", base=tmp_path, client=client)
    for act in (lambda: store.put(packed), lambda: store.get(ABSENT), lambda: store.newest("first")):
        with pytest.raises(CloudmodelError) as caught:
            act()
        assert caught.value.where == "s3://absent/p"


def test_no_credentials_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CredentialsMissing):
        open_store("s3://bucket", base=tmp_path).has(ABSENT)


@pytest.mark.parametrize("location", ["gs://bucket", "https://host/x", "s3://", "s3:///prefix"])
def test_other_places_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(ProjectInvalid):
        open_store(location, base=tmp_path)
