"""A large bundle is kept as its files, each content once; whatever its size it takes little memory and two reads."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from moto import mock_aws

import bundle_parts
import onnx_models
from cloudmodel.bundle import archive, golden, signing, store
from cloudmodel.bundle.store import FolderStore, open_store
from cloudmodel.core import files
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import BundleChanged, CloudmodelError, UnsafeModel
from cloudmodel.core.progress import silent

SUPPORT = Path(__file__).parents[1] / "support"
SHARDS = {f"model-0000{part}-of-00003.safetensors": bytes([part]) * 5000 for part in (1, 2, 3)}

SECOND = "model-00002-of-00003.safetensors"


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LARGE", 1000)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client


def kept(place: store.BundleStore, folder: Path, second: bytes = SHARDS[SECOND]) -> tuple[str, Path]:
    bundle_parts.fill(folder, {**SHARDS, SECOND: second})
    return place.keep(folder, bundle_parts.manifest(folder))


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, client: Any) -> store.BundleStore:
    return open_store("bundles" if request.param == "folder" else "s3://bucket/p", base=tmp_path, client=client)


def test_it_is_named_by_its_manifest_and_comes_back(place: store.BundleStore, tmp_path: Path) -> None:
    digest, path = kept(place, tmp_path / "in")
    assert path.is_dir() and archive.verify(path) == archive.read_manifest(path)
    assert {name: (path / name).read_bytes() for name in SHARDS} == SHARDS
    assert place.has(digest) and place.newest("parts") == digest and place.get(digest) == path
    assert kept(place, tmp_path / "in")[0] == digest
    assert archive.read_files(path, list(SHARDS)) == SHARDS
    assert golden.read(path) is None


def test_it_is_held_against_its_name_once_a_process_and_again_when_it_changed(
    place: store.BundleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, path = kept(place, tmp_path / "in")
    place.get(digest)
    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256", lambda path: pytest.fail(f"{path} was read once more"))
        assert place.get(digest) == path
    shard = path / SECOND
    shard.chmod(0o644)
    shard.write_bytes(b"x" * shard.stat().st_size)
    with pytest.raises(BundleChanged) if isinstance(place, FolderStore) else contextlib.nullcontext():
        place.get(digest)
    if not isinstance(place, FolderStore):
        assert shard.read_bytes() == SHARDS[SECOND]  # fetched again


def test_an_unchanged_shard_is_kept_once(place: store.BundleStore, tmp_path: Path, client: Any) -> None:
    kept(place, tmp_path / "a")
    _, path = kept(place, tmp_path / "b", b"other" * 1000)
    assert (path / SECOND).read_bytes() == b"other" * 1000
    listed = client.list_objects_v2(Bucket="bucket").get("Contents", [])
    contents = [each["Key"] for each in listed if "/files/" in each["Key"]]
    assert len(contents) in (0, 4)
    (files,) = [each for each in tmp_path.rglob("files") if each.is_dir()]
    assert len(list(files.iterdir())) == 4
    assert (path / "model-00001-of-00003.safetensors").stat().st_nlink == 3  # itself, and both bundles


def test_one_that_is_there_is_not_read_again(tmp_path: Path) -> None:
    place = FolderStore(tmp_path / "bundles")
    kept(place, tmp_path / "a")
    manifest = bundle_parts.manifest(tmp_path / "a").model_copy(update={"task": "other"})
    for name in SHARDS:
        (tmp_path / "a" / name).write_bytes(b"")
    assert archive.verify(place.keep(tmp_path / "a", manifest)[1]) == manifest


def test_a_bundle_in_s3_is_fetched_on_another_machine(tmp_path: Path, client: Any) -> None:
    digest, _ = kept(open_store("s3://bucket/p", base=tmp_path / "one", client=client), tmp_path / "in")
    other = open_store("s3://bucket/p", base=tmp_path / "two", client=client)
    path = other.get(digest)
    assert {name: (path / name).read_bytes() for name in SHARDS} == SHARDS
    (path / "labels.txt").write_bytes(b"added")
    assert not (other.get(digest) / "labels.txt").exists(), "a damaged cache is fetched again"
    entry = archive.read_manifest(path).files[0]
    assert other.get(f"sha256:{entry.sha256}").read_bytes() == SHARDS[entry.path]
    client.put_object(Bucket="bucket", Key=f"p/files/{entry.sha256}", Body=b"swapped")
    with pytest.raises(BundleChanged):
        open_store("s3://bucket/p", base=tmp_path / "three", client=client).get(digest)


def test_changed_bytes_are_not_handed_out(tmp_path: Path) -> None:
    place = FolderStore(tmp_path / "bundles")
    digest, path = kept(place, tmp_path / "in")
    shard = path / "model-00003-of-00003.safetensors"
    with pytest.raises(PermissionError) if os.geteuid() else pytest.raises(BundleChanged, match="model-00003"):
        shard.write_bytes(b"x")
        place.get(digest)


@pytest.mark.parametrize("changes", [{"path": "../evil"}, {"path": "/etc/evil"}, {"sha256": "../../evil"}])
def test_a_hostile_manifest_writes_nowhere_else(tmp_path: Path, client: Any, changes: dict[str, str]) -> None:
    place = FolderStore(tmp_path / "bundles")
    kept(place, tmp_path / "in")
    manifest = bundle_parts.manifest(tmp_path / "in")
    entry = manifest.files[0].model_copy(update=changes)
    with pytest.raises(CloudmodelError):
        place.link("sha256:" + "1" * 64, manifest.model_copy(update={"files": (entry,)}))
    assert not list(tmp_path.rglob("evil"))


def test_it_is_signed_and_pushed_as_any_other(place: store.BundleStore, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    local = FolderStore(tmp_path / "local")
    digest, path = kept(local, tmp_path / "in")
    local.attach(digest, signing.sign(archive.read_manifest(path), tmp_path / "k"))
    assert place.put(path) == digest
    signature = local.signature(digest)
    assert signature is not None
    place.attach(digest, signature)
    assert signing.verified(place.get(digest), place.signature(digest), public)
    with pytest.raises(UnsafeModel, match="not signed"):
        signing.verified(place.get(digest), None, public)


COUNTED = """
import json, sys
from pathlib import Path
import bundle_parts
from cloudmodel.bundle import store
from cloudmodel.serving.package import ModelSource, package

def counted():
    lines = Path("/proc/self/io").read_text().split()
    status = Path("/proc/self/status").read_text()
    return int(lines[lines.index("rchar:") + 1]), int(status.split("VmHWM:")[1].split()[0]) << 10

def keep(folder, place):
    place.keep(folder, bundle_parts.manifest(folder))

def verb(folder, place):
    package(ModelSource("large", folder), place)

folder, store.LARGE = Path(sys.argv[2]), int(sys.argv[3])
before, _ = counted()
{"keep": keep, "verb": verb}[sys.argv[1]](folder, store.FolderStore(folder.parent / "bundles"))
read, peak = counted()
print(json.dumps([read - before, peak]))
"""


def measured(what: str, folder: Path, large: int) -> tuple[int, int]:
    """Bytes that keeping a folder, or the whole of `package`, read with all its children, and its peak of memory."""
    command = [sys.executable, "-c", COUNTED, what, str(folder), str(large)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SUPPORT)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    read, peak = json.loads(done.stdout)
    return read, peak


def test_an_archive_is_read_at_most_twice_a_byte(tmp_path: Path) -> None:
    size = 24 << 20
    bundle_parts.fill(tmp_path / "in", {"weights": os.urandom(size)})
    read, peak = measured("keep", tmp_path / "in", 1 << 40)
    assert read <= 2 * size + (8 << 20)
    assert peak < 200 << 20


def test_the_whole_verb_reads_each_byte_of_an_archive_at_most_twice(tmp_path: Path) -> None:
    rows = 120_000
    onnx_models.tables(tmp_path / "in", tables=2, rows=rows)
    size = 2 * rows * 64 * 4
    read, peak = measured("verb", tmp_path / "in", 1 << 40)
    imports = 40 << 20  # what three interpreters read to begin with
    assert read <= 2 * size + imports < 3 * size
    assert peak < 250 << 20


def test_the_whole_verb_reads_each_byte_of_a_large_model_once_and_moves_what_it_copied(tmp_path: Path) -> None:
    rows = 200_000
    onnx_models.tables(tmp_path / "in", tables=2, rows=rows)
    size = 2 * rows * 64 * 4
    read, peak = measured("verb", tmp_path / "in", 0)
    assert read <= size + (40 << 20) < 2 * size
    assert peak < 250 << 20
    kept = [path for path in (tmp_path / "bundles/files").iterdir() if path.stat().st_size > size // 3]
    assert len(kept) == 2
    assert all(files.sha256(path) == path.name for path in kept)
    assert not [*(tmp_path / "bundles").glob(store.WORK + "*")]


KILLED = """
import os, sys
from pathlib import Path
from cloudmodel.bundle.store import FolderStore
with FolderStore(Path(sys.argv[1])).workplace() as work:
    (work / "half").write_bytes(b"1")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_left_is_swept_and_one_that_runs_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "bundles"
    place = FolderStore(root)
    with place.workplace() as running:
        assert subprocess.run([sys.executable, "-c", KILLED, root], check=False).returncode == -9
        assert len([*root.glob(store.WORK + "*/half")]) == 1
        with place.workplace() as own:
            assert {*root.glob(store.WORK + "*")} == {running, own}
    assert not root.exists()


def test_a_file_that_was_written_since_it_was_hashed_is_not_moved(tmp_path: Path) -> None:
    bundle_parts.fill(tmp_path / "in", SHARDS)
    digests = Digests()
    manifest = bundle_parts.manifest(tmp_path / "in")
    assert archive.entries(tmp_path / "in", [*SHARDS], digests) == manifest.files
    (tmp_path / "in" / SECOND).write_bytes(bytes([9]) * 5000)
    with pytest.raises(BundleChanged, match=SECOND):
        FolderStore(tmp_path / "bundles").keep(tmp_path / "in", manifest, silent, digests)
    assert not [*(tmp_path / "bundles").rglob("manifest.json")]
