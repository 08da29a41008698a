"""The same files are the same bytes; other bytes are noticed and named."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bundle_parts
from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import Manifest
from cloudmodel.core import tar
from cloudmodel.core.errors import BundleChanged, CloudmodelError, UnsafeModel, UsageError

SUPPORT = Path(__file__).parents[1] / "support"


def _rewrite(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive again with changed members (their order kept)."""
    with tarfile.open(source) as old:
        members = {entry.name: old.extractfile(entry).read() for entry in old}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(target, "w:gz") as new:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            new.addfile(header, io.BytesIO(data))
    return target


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    manifest = archive.extract(packed, tmp_path / "out")
    assert manifest == archive.read_manifest(packed) == archive.verify(packed) == archive.verify(tmp_path / "out")
    for name, data in bundle_parts.CONTENT.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert (tmp_path / "out/manifest.json").read_bytes() == archive.encode_manifest(manifest)


def test_two_builds_are_the_same_bytes_whatever_the_machine_says(tmp_path: Path) -> None:
    first = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz").read_bytes()
    script = (
        "import os, sys; from pathlib import Path; import bundle_parts as b; os.umask(0o077);"
        "folder = Path(sys.argv[1]);"
        "b.pack(folder / 'elsewhere', folder / 'b.tar.gz');"
        "[os.utime(path, (1, 1)) or path.chmod(0o700) for path in (folder / 'elsewhere').rglob('*')];"
        "b.archive.write(folder / 'elsewhere', b.manifest(folder / 'elsewhere'), folder / 'c.tar.gz')"
    )
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONPATH": str(SUPPORT), "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    assert (tmp_path / "b.tar.gz").read_bytes() == first
    assert (tmp_path / "c.tar.gz").read_bytes() == first


def test_the_archive_is_what_sagemaker_unpacks(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    with tarfile.open(packed) as opened:
        members = opened.getmembers()
    assert members[0].name == "manifest.json"
    assert [member.name for member in members[1:]] == sorted(bundle_parts.CONTENT)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    header = packed.read_bytes()[:10]
    assert header[3] == 0, "no name in gzip's header"
    assert header[4:8] == bytes(4), "no time in gzip's header"


def test_the_digest_names_the_bytes(tmp_path: Path) -> None:
    bundle_parts.fill(tmp_path / "in")
    manifest = bundle_parts.manifest(tmp_path / "in")
    digest = archive.write(tmp_path / "in", manifest, tmp_path / "a.tar.gz")
    assert archive.verify(tmp_path / "a.tar.gz", digest=digest) == manifest
    with pytest.raises(BundleChanged, match=digest):
        archive.verify(tmp_path / "a.tar.gz", digest="sha256:" + "0" * 64)


def _change(members: dict[str, bytes]) -> None:
    members["labels.txt"] = b"one\nzero\n"


def _remove(members: dict[str, bytes]) -> None:
    del members["labels.txt"]


def _add(members: dict[str, bytes]) -> None:
    members["code/extra.py"] = b"import os"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_change, "labels.txt has changed"),
        (_remove, "labels.txt is missing"),
        (_add, "code/extra.py was added"),
    ],
)
def test_a_change_is_named_and_nothing_is_left(
    tmp_path: Path, change: Callable[[dict[str, bytes]], None], words: str
) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    forged = _rewrite(packed, tmp_path / "forged.tar.gz", change)
    with pytest.raises(BundleChanged, match=words) as caught:
        archive.extract(forged, tmp_path / "out")
    assert caught.value.code == 14
    with pytest.raises(BundleChanged, match=words):
        archive.verify(forged)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "forged.tar.gz", "in"]


def test_a_change_in_an_unpacked_bundle_is_named(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    archive.extract(packed, tmp_path / "out")
    (tmp_path / "out/code/__pycache__").mkdir()
    (tmp_path / "out/code/__pycache__/inference.cpython-311.pyc").write_bytes(b"compiled by someone")
    with pytest.raises(BundleChanged, match="__pycache__"):
        archive.verify(tmp_path / "out")
    archive.extract(packed, tmp_path / "linked")
    (tmp_path / "linked/labels.txt").unlink()
    (tmp_path / "linked/labels.txt").symlink_to(tmp_path / "in/labels.txt")
    with pytest.raises(BundleChanged, match="regular file"):
        archive.verify(tmp_path / "linked")


def test_a_file_that_changes_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    bundle_parts.fill(tmp_path / "in")
    manifest = bundle_parts.manifest(tmp_path / "in")
    for data in (b"shorter", bundle_parts.CONTENT["model.onnx"] + b"longer", b"x" * 10240):
        (tmp_path / "in/model.onnx").write_bytes(data)
        with pytest.raises(BundleChanged, match=r"model\.onnx changed"):
            archive.write(tmp_path / "in", manifest, tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_full_disk_leaves_the_old_archive_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    before = packed.read_bytes()
    (tmp_path / "in/labels.txt").write_bytes(b"other\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        archive.write(tmp_path / "in", bundle_parts.manifest(tmp_path / "in"), packed)
    assert packed.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "in"]


def test_a_full_disk_while_unpacking_leaves_nothing(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))  # model.onnx has 10,240 bytes
    try:
        with pytest.raises(CloudmodelError, match="File too large") as caught:
            archive.extract(packed, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert "make room" in str(caught.value.hint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "in"]


@pytest.mark.parametrize("length", [0, 5, 30, 200, -1])
def test_an_archive_that_is_cut_short(tmp_path: Path, length: int) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    (tmp_path / "cut.tar.gz").write_bytes(packed.read_bytes()[:length])
    with pytest.raises(UnsafeModel):
        archive.extract(tmp_path / "cut.tar.gz", tmp_path / "out")
    with pytest.raises(UnsafeModel):
        archive.verify(tmp_path / "cut.tar.gz")
    assert not (tmp_path / "out").exists()


def test_every_flipped_byte_of_an_archive_is_noticed_or_harmless(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    content = packed.read_bytes()
    manifest = archive.read_manifest(packed)
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0x55
        packed.write_bytes(changed)
        try:
            assert archive.verify(packed) == manifest  # gzip's own header: flags that say nothing
        except UnsafeModel:
            continue


def test_what_is_no_bundle_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with tarfile.open(tmp_path / "plain.tar.gz", "w:gz") as plain:
        plain.add(Path(__file__), "inference.py")
    for name in ("text", "plain.tar.gz"):
        with pytest.raises(UnsafeModel):
            archive.read_manifest(tmp_path / name)
    with pytest.raises(UsageError, match="no such bundle"):
        archive.read_manifest(tmp_path / "absent.tar.gz")
    with pytest.raises(UnsafeModel, match="Not a bundle"):
        archive.read_folder(tmp_path)


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")

    def newer(members: dict[str, bytes]) -> None:
        document = json.loads(members["manifest.json"])
        members["manifest.json"] = json.dumps({**document, "schema_version": "cloudmodel.manifest/2"}).encode()

    with pytest.raises(UnsafeModel, match="schema_version"):
        archive.read_manifest(_rewrite(packed, tmp_path / "b.tar.gz", newer))


def test_a_plain_archive_of_sagemaker_unpacks_without_a_manifest(tmp_path: Path) -> None:
    bundle_parts.fill(tmp_path / "in")
    with tarfile.open(tmp_path / "plain.tar.gz", "w:gz") as plain:
        plain.add(tmp_path / "in", ".")  # as `tar czf model.tar.gz -C in .` names its members
    archive.extract_plain(tmp_path / "plain.tar.gz", tmp_path / "out")
    for name, data in bundle_parts.CONTENT.items():
        assert (tmp_path / "out" / name).read_bytes() == data


def test_a_folder_that_has_something_in_it_is_not_written_to(tmp_path: Path) -> None:
    packed = bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz")
    with pytest.raises(UsageError, match="not empty"):
        archive.extract(packed, tmp_path / "in")
    (tmp_path / "empty").mkdir()
    archive.extract(packed, tmp_path / "empty")
    assert (tmp_path / "empty/model.onnx").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as file, tarfile.open(fileobj=file, mode="w") as bomb:
        header = tarfile.TarInfo("zeros")
        header.size = 50 << 20
        bomb.addfile(header, io.BytesIO(bytes(header.size)))
    budget = tar.Budget(free=1 << 20)
    with pytest.raises(UnsafeModel, match="unpacks to more than"):
        archive.extract_plain(tmp_path / "bomb.tar.gz", tmp_path / "out", budget=budget)
    assert not (tmp_path / "out").exists()
    archive.extract_plain(tmp_path / "bomb.tar.gz", tmp_path / "out")  # within the default budget


@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3),
    st.lists(st.text(max_size=20), max_size=3),
    st.text(),
)
def test_a_manifest_comes_back_as_it_was(metadata: dict[str, object], labels: list[str], task: str) -> None:
    base = bundle_parts.manifest(SUPPORT)
    try:
        manifest = Manifest(**{**base.model_dump(), "metadata": {"more": metadata, "labels": labels}, "task": task})
        data = archive.encode_manifest(manifest)
    except ValueError:  # text that UTF-8 cannot hold
        return
    assert archive.decode_manifest(data, "here") == manifest
    assert archive.encode_manifest(archive.decode_manifest(data, "here")) == data
