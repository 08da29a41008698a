"""Archives that escape, hide or overwrite are refused; honest ones are read as tarfile reads them."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudmodel.bundle import archive
from cloudmodel.core import tar
from cloudmodel.core.errors import UnsafeModel


def _member(name: str, data: bytes = b"x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    for field, content in fields.items():
        setattr(header, field, content)
    return header, data


def _pack(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w:gz", format=form) as target:
        for header, data in members:
            target.addfile(header, io.BytesIO(data) if header.size else None)
    return path


def _read(path: Path, budget: tar.Budget = archive.DEFAULT_BUDGET) -> dict[str, bytes | None]:
    with gzip.open(path) as stream:
        source = tar.Source(stream, path.stat().st_size, budget, str(path))
        return {
            member.name: None if member.folder else b"".join(content) for member, content in tar.walk(source, budget)
        }


FOLDER = {"type": tarfile.DIRTYPE, "size": 0}
LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([_member("/etc/passwd")], "absolute"),
        ([_member("../up")], r"'\.\.' part"),
        ([_member("a/../../up")], r"'\.\.' part"),
        ([_member("a/./b")], r"'\.\.' part"),
        ([_member("a//b")], "empty"),
        ([_member("a\\..\\b")], "backslash"),
        ([_member("new\nline")], "control character"),
        ([_member("x" * 300)], "longer than"),
        ([_member("/".join(["abc"] * 400))], "longer than"),
        ([_member("a", b"", **LINK)], "symbolic link"),
        ([_member("a", b"", type=tarfile.LNKTYPE, linkname="b", size=0)], "hard link"),
        ([_member("a", b"", type=tarfile.CHRTYPE, size=0)], "device"),
        ([_member("a", b"", type=tarfile.BLKTYPE, size=0)], "device"),
        ([_member("a", b"", type=tarfile.FIFOTYPE, size=0)], "pipe"),
        ([_member("a", b"", type=tarfile.GNUTYPE_SPARSE, size=0)], "sparse"),
        ([_member("a"), _member("a")], "there twice"),
        ([_member("a"), _member("./a")], "there twice"),
        ([_member("A/b"), _member("a/c")], "collides"),
        ([_member("a"), _member("A")], "collides"),
        ([_member("caf\u00e9"), _member("cafe\u0301")], "collides"),
        ([_member("a"), _member("a/b")], "file and a folder"),
        ([_member("a/b"), _member("a")], "file and a folder"),
        (
            [_member(".", b"", **FOLDER), _member("..", b"", **FOLDER)],
            r"'\.\.' part",
        ),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_hostile_archive_is_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], words: str, form: int
) -> None:
    path = _pack(tmp_path / "a.tar.gz", *members, form=form)
    with pytest.raises(UnsafeModel, match=words):
        archive.extract_plain(path, tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tar.gz"]


def test_a_link_cannot_redirect_a_later_member(tmp_path: Path) -> None:
    link = _member("code", b"", type=tarfile.SYMTYPE, linkname=str(tmp_path / "outside"), size=0)
    (tmp_path / "outside").mkdir()
    path = _pack(tmp_path / "a.tar.gz", link, _member("code/inference.py"))
    with pytest.raises(UnsafeModel):
        archive.extract_plain(path, tmp_path / "out")
    assert not list((tmp_path / "outside").iterdir())


def test_more_members_than_allowed(tmp_path: Path) -> None:
    path = _pack(tmp_path / "a.tar.gz", *[_member(f"f{number}") for number in range(11)])
    assert len(_read(path, tar.Budget(members=11))) == 11
    with pytest.raises(UnsafeModel, match="more than 10 members"):
        _read(path, tar.Budget(members=10))


def test_a_size_that_lies_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    header, _ = _member("a")
    header.size = 1 << 50
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf() + bytes(1024)))
    with pytest.raises(UnsafeModel, match="unpacks to more than"):
        _read(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (bytes(100), "cut short"),
        (bytes(1024) + b"hidden" + bytes(506), "after its end"),
        (b"\1" * 512, "checksum|not one"),
    ],
)
def test_a_broken_archive_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UnsafeModel, match=words):
        _read(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    "records",
    [b"GNU", b"99 path=a\n", b"0 path=\n", b"30 GNU.sparse.major=1\n", b"12 size=abc\n", b"9 path=\xff\n"],
)
def test_a_broken_extended_header_is_refused(tmp_path: Path, records: bytes) -> None:
    extended = tarfile.TarInfo("x")
    extended.type = tarfile.XHDTYPE
    extended.size = len(records)
    body = extended.tobuf() + records + bytes(-len(records) % 512) + _member("a")[0].tobuf() + b"x" + bytes(1535)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(body))
    with pytest.raises(UnsafeModel):
        _read(tmp_path / "a.tar.gz")


PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40
)
NAMES = st.lists(PARTS.filter(lambda part: part != "."), min_size=1, max_size=4).map("/".join)  # "./a" is "a"


@settings(max_examples=80)
@given(st.dictionaries(NAMES, st.binary(max_size=600), max_size=5), st.sampled_from([0, 1, 2]))
def test_an_honest_archive_is_read_as_tarfile_reads_it(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], form: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "honest.tar.gz"
    try:
        _pack(path, *[_member(name, data) for name, data in content.items()], form=form)
    except ValueError:
        return  # a name that this older form cannot hold
    try:
        found = _read(path)
    except UnsafeModel:
        with tarfile.open(path) as oracle:
            names = [member.name.rstrip("/") for member in oracle]
        folded = {prefix.casefold() for name in names for prefix in _prefixes(name)}
        suspicious = any(tar.why_unsafe(name) for name in names)
        assert suspicious or len(folded) < len({p for name in names for p in _prefixes(name)}) or _mixed(names)
        return
    assert found == content


def _prefixes(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _mixed(names: list[str]) -> bool:
    """Whether a file is a folder too, or Unicode has two spellings of one name."""
    import unicodedata

    folders = {prefix for name in names for prefix in _prefixes(name)[:-1]}
    spelled = {unicodedata.normalize("NFC", name) for name in names}
    return (
        bool(folders & set(names))
        or any(unicodedata.normalize("NFC", name) != name for name in names)
        or len(spelled) < len(names)
    )


@settings(max_examples=150)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tar.gz"
    path.write_bytes(gzip.compress(data))
    try:
        _read(path)
    except UnsafeModel as error:
        assert error.code == 14


@settings(max_examples=100)
@given(st.data())
def test_any_change_of_a_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    plain = bytearray(
        gzip.decompress(_pack(folder / "b.tar.gz", _member("a/b"), _member("c", b"y" * 700)).read_bytes())
    )
    for _ in range(data.draw(st.integers(1, 4))):
        plain[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # with a checksum that is right again
        plain[148:156] = b" " * 8
        plain[148:156] = f"{sum(plain[:512]):06o}\0 ".encode()
    (folder / "c.tar.gz").write_bytes(gzip.compress(plain))
    try:
        for name in _read(folder / "c.tar.gz"):
            assert name == "." or tar.why_unsafe(name) is None
    except UnsafeModel:
        pass
