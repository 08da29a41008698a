"""Archives: each member is looked at as if it stood alone, and its name is judged too."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from cloudmodel.core import tar
from cloudmodel.core.errors import UnsafeModel
from cloudmodel.formats.scanning import keras_config, savedmodel, skops, streams, torch_export, zips
from cloudmodel.formats.scanning.budget import ARCHIVE, Exhausted
from cloudmodel.formats.scanning.context import Place, seekable

Inside = Callable[[io.BufferedReader, Place], str]
"""Looks at one thing, keeps what it finds, tells what it is."""

STORAGES = ("data/", "constants/", "tensors/")
DOCUMENTS = {("keras", "config.json"): keras_config.scan, ("skops", "schema.json"): skops.scan}
MAX_DOCUMENT = 256 << 20


def read_tar(stream: io.BufferedReader, place: Place, inside: Inside) -> str:
    """Every member of a tar, by our own rules of what a member may be."""
    source = tar.Source(stream, place.budget.packed, ARCHIVE, place.where)
    names: list[str] = []
    try:
        for member, content in tar.walk(source, ARCHIVE):
            names.append(member.name)
            if not member.folder:
                inside(streams.buffered(content), place.inner(member.name))
    except UnsafeModel as error:
        place.note("archive", error.message)
    savedmodel.forgive_weights(place, names)
    return "tar"


def read_compressed(kind: str) -> Callable[[io.BufferedReader, Place, Inside], str]:
    """What a compressed file holds."""

    def read(stream: io.BufferedReader, place: Place, inside: Inside) -> str:
        inner = streams.buffered(streams.unpacked(stream, kind, place.budget))
        found = inside(inner, place.inner(kind))
        while inner.read(streams.PIECE):
            pass
        return found if found == "joblib" else kind

    return read


def read_zip(stream: io.BufferedReader, place: Place, inside: Inside) -> str:
    """Every member of a zip, whatever its checksum says."""
    with seekable(stream, place.budget) as file:
        members = zips.members(file)
        archive = Archive([member.name for member in members])
        raw = _raw_tensors(file, members, place) if archive.format == "torch-export" else set()
        seen: set[str] = set()
        for member in members:
            inner = place.inner(member.name)
            reason = _why_refused(member, seen)
            seen.add(member.name.casefold())
            if reason:
                inner.note("archive", reason)
            elif member.encrypted:
                inner.note("encrypted", "is encrypted, so nobody can look into it")
            elif not member.folder and member.name not in raw and not archive.is_bare(member.name):
                _read_member(file, member, inner, archive, inside)
    savedmodel.forgive_weights(place, [member.name for member in members])
    return archive.format


def kind_of_zip(path: Path) -> str:
    """What a zip is by its members' names, without a look into them; `zip` where it is broken. Raises OSError."""
    with path.open("rb") as file:
        try:
            return Archive([member.name for member in zips.members(file)]).format
        except (streams.BrokenArchive, Exhausted):
            return "zip"


class Archive:
    """What a zip is, by the names of its members."""

    def __init__(self, names: list[str]) -> None:
        every = set(names)
        pickled = (name for name in names if name == "data.pkl" or name.endswith("/data.pkl"))
        self.root = next((name.removesuffix("data.pkl") for name in pickled), None)
        self.format = "zip"
        if self.root is not None:
            self.format = "torchscript" if any(name.startswith(f"{self.root}code/") for name in names) else "torch"
        elif {"config.json", "metadata.json"} <= every:
            self.format = "keras"
        elif any(name.startswith("MAR-INF/") for name in names):
            self.format = "torchserve"
        elif "schema.json" in every:
            self.format = "skops"
        elif names and all(name.endswith(".npy") for name in names):
            self.format = "npz"
        elif any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
            self.format = "torch-export"

    def is_bare(self, name: str) -> bool:
        """Whether torch reads it as bare numbers, or compiles it as TorchScript, which is not Python."""
        if self.root is None or name.endswith(".pkl"):
            return False
        code = (f"{self.root}code/",) if self.format == "torchscript" else ()
        return name.startswith((*code, *(self.root + folder for folder in STORAGES)))


def _why_refused(member: zips.Member, seen: set[str]) -> str | None:
    if member.link:
        return "is a link"
    if member.name.casefold() in seen:
        return "is there twice"
    return tar.why_unsafe(member.name.rstrip("/"))


def _read_member(file: IO[bytes], member: zips.Member, place: Place, archive: Archive, inside: Inside) -> None:
    content = streams.inflated(zips.content(file, member), member.method, place.budget)
    stream = streams.buffered(_counted(content, member.unpacked))
    document = DOCUMENTS.get((archive.format, member.name))
    try:
        if document is None:
            inside(stream, place)
        else:
            place.context.add(document(stream.read(MAX_DOCUMENT), place.where))
        while stream.read(streams.PIECE):
            pass
    except streams.BrokenArchive as error:
        place.note("unreadable", str(error))


def _raw_tensors(file: IO[bytes], members: list[zips.Member], place: Place) -> set[str]:
    configs = {}
    for member in members:
        if torch_export.is_config(member.name) and not member.encrypted:
            content = streams.inflated(zips.content(file, member), member.method, place.budget)
            configs[member.name] = streams.buffered(content).read(MAX_DOCUMENT)
    return torch_export.bare(configs)


def _counted(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    found = 0
    for piece in pieces:
        found += len(piece)
        yield piece
    if found != size:
        raise streams.BrokenArchive(f"it says {size:,} bytes and holds {found:,}")
