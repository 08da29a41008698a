"""A bundle as one reproducible `.tar.gz`, in the form that SageMaker unpacks; `manifest.json` is its first member.

The same files give the same bytes: sorted names, no times, no owners, fixed modes, one compression level. Reading is
done by `tar.walk`, and every file is held against the manifest's sha256.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from cloudmodel.bundle.manifest import MANIFEST_NAME, FileEntry, Manifest
from cloudmodel.core import files, tar
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import BundleChanged, CloudmodelError, UnsafeModel, UsageError
from cloudmodel.core.progress import Progress, Report, silent

LEVEL = 6
MAX_MANIFEST = 16 << 20
DEFAULT_BUDGET = tar.Budget()
Found = dict[str, tuple[str, int]]
"""Path to (hex sha256, size in bytes)."""


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as the bytes of `manifest.json`: sorted keys, so that equal manifests are equal bytes."""
    document = manifest.model_dump(mode="json")
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode_manifest(data: bytes, where: str) -> Manifest:
    """Raises UnsafeModel for bytes that are no manifest of a version that is known here."""
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnsafeModel(f"{MANIFEST_NAME} is not a manifest: {place}: {first['msg']}", where=where) from None


def entries(folder: Path, names: Iterator[str] | list[str], digests: Digests | None = None) -> tuple[FileEntry, ...]:
    """The manifest's lines for files of `folder`, sorted by path; those that `digests` knows are not read again."""
    digests = digests or Digests()
    return tuple(
        FileEntry(path=name, sha256=digests.sha256(folder / name), size=(folder / name).stat().st_size)
        for name in sorted(names)
    )


def write(folder: Path, manifest: Manifest, archive: Path, *, report: Report = silent) -> str:
    """Write the files that `manifest` lists from `folder`; returns the archive's digest, `sha256:<hex>`.

    Atomic: on an error, a full disk or Ctrl-C, `archive` is as it was. Raises BundleChanged where a file is not what
    the manifest says, UnsafeModel for a name or a compression that `extract` would refuse, OSError.
    """
    total = sum(entry.size for entry in manifest.files)
    done = 0
    with files.replacing(archive) as file:
        written = _HashingWriter(file)
        with (
            gzip.GzipFile("", "wb", LEVEL, written, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as writer,
        ):
            content = encode_manifest(manifest)
            writer.addfile(_header(MANIFEST_NAME, len(content)), io.BytesIO(content))
            for entry in sorted(manifest.files, key=lambda entry: entry.path):
                if reason := tar.why_unsafe(entry.path):
                    raise UnsafeModel(f"{entry.path!r} {reason}", where=str(archive))
                with (folder / entry.path).open("rb") as source:
                    hashing = _Hashing(source)
                    try:
                        writer.addfile(_header(entry.path, entry.size), hashing)
                    except (OSError, tarfile.TarError) as error:
                        if "unexpected end of data" not in str(error):
                            raise
                        raise _changed(entry.path, folder) from None
                    if hashing.hexdigest() != entry.sha256 or source.read(1):
                        raise _changed(entry.path, folder)
                done += entry.size
                report(Progress("archive", done, total, entry.path))
        limit = max(DEFAULT_BUDGET.free, file.tell() * DEFAULT_BUDGET.ratio)
        if total > limit:
            raise UnsafeModel(
                f"The weights compress more than {DEFAULT_BUDGET.ratio} times; no reader would open such an archive",
                where=str(archive),
            )
    return f"sha256:{written.hexdigest()}"


def read_manifest(archive: Path) -> Manifest:
    """The manifest alone, of an archive (no further than its first member is read) or of a folder. Raises UnsafeModel,
    OSError."""
    if archive.is_dir():
        return read_folder(archive)
    with _opened(archive, DEFAULT_BUDGET) as source:
        return _first(tar.walk(source, DEFAULT_BUDGET), source)


def read_files(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """The content of some small files; what lies behind them is not read. Raises UnsafeModel, UsageError, and
    BundleChanged for one that is missing or not as the manifest says."""
    found: dict[str, bytes] = {}
    if archive.is_dir():
        listed = {entry.path: entry.sha256 for entry in read_folder(archive).files}
        found = {name: (archive / name).read_bytes() for name in names if (archive / name).is_file() and name in listed}
        return _as_listed(found, names, listed, archive)
    with _opened(archive, DEFAULT_BUDGET) as source:
        members = tar.walk(source, DEFAULT_BUDGET)
        manifest = _first(members, source)
        listed = {entry.path: entry.sha256 for entry in manifest.files}
        for member, content in members:
            if member.name in names:
                found[member.name] = b"".join(content)
            if len(found) == len(names):
                break
    return _as_listed(found, names, listed, archive)


def _as_listed(
    found: dict[str, bytes], names: Collection[str], listed: Mapping[str, str], archive: Path
) -> dict[str, bytes]:
    for name in names:
        if name not in found or hashlib.sha256(found[name]).hexdigest() != listed.get(name):
            raise BundleChanged(f"{name} changed since the bundle was built", where=str(archive), hint=REBUILD)
    return found


def extract_file(archive: Path, name: str, target: Path) -> Path:
    """Write one file of a bundle, however large, to `target`, which it returns; what lies behind it is not read.

    Raises UnsafeModel, UsageError, and BundleChanged for one that is missing or not as the manifest says.
    """
    with _opened(archive, DEFAULT_BUDGET) as source:
        members = tar.walk(source, DEFAULT_BUDGET)
        listed = {entry.path: entry.sha256 for entry in _first(members, source).files}
        for member, content in members:
            if member.name == name and not member.folder:
                digest = hashlib.sha256()
                with target.open("xb") as file:
                    for piece in content:
                        digest.update(piece)
                        file.write(piece)
                if digest.hexdigest() == listed.get(name):
                    return target
                break
    raise BundleChanged(f"{name} changed since the bundle was built", where=str(archive), hint=REBUILD)


def extract(archive: Path, folder: Path, *, budget: tar.Budget = DEFAULT_BUDGET, report: Report = silent) -> Manifest:
    """Unpack a bundle into `folder`, which must be new or empty, and hold every file against the manifest.

    `folder` appears whole or not at all. Raises BundleChanged naming the file that differs, UnsafeModel for an
    archive that breaks the rules of `tar.walk`, UsageError for a folder that has something in it,
    CloudmodelError where the disk is full.
    """
    with _opened(archive, budget) as source, _appearing(folder) as work:
        members = tar.walk(source, budget)
        manifest = _first(members, source)
        total = sum(entry.size for entry in manifest.files)
        found = _unpack(members, work, "extract", total, report)
        compare(manifest, found, str(archive))
        (work / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return manifest


def extract_plain(archive: Path, folder: Path, *, budget: tar.Budget = DEFAULT_BUDGET) -> None:
    """Unpack any SageMaker `model.tar.gz`, with or without a manifest, under the rules of `tar.walk`.

    `folder` must be new or empty and appears whole or not at all. Raises UnsafeModel, UsageError,
    CloudmodelError.
    """
    with _opened(archive, budget) as source, _appearing(folder) as work:
        _unpack(tar.walk(source, budget), work, "extract", None, silent)


def verify(bundle: Path, *, digest: str | None = None, report: Report = silent) -> Manifest:
    """Hold an archive, or an unpacked bundle's folder, against its manifest, and an archive against `digest`.

    Returns the manifest. Raises BundleChanged naming the file that changed, is missing or was added.
    """
    if bundle.is_dir():
        manifest = read_folder(bundle)
        present = [path for path in sorted(bundle.rglob("*")) if not path.is_dir() or path.is_symlink()]
        for path in present:
            if path.is_symlink() or not path.is_file():
                raise BundleChanged("Not a regular file", where=str(path))
        names = [path.relative_to(bundle).as_posix() for path in present]
        listed = entries(bundle, [name for name in names if name != MANIFEST_NAME])
        compare(manifest, {entry.path: (entry.sha256, entry.size) for entry in listed}, str(bundle))
        return manifest
    if digest is not None and (actual := f"sha256:{files.sha256(bundle)}") != digest:
        raise BundleChanged(f"The archive is {actual}, not {digest}", where=str(bundle), hint=REBUILD)
    with _opened(bundle, DEFAULT_BUDGET) as source:
        members = tar.walk(source, DEFAULT_BUDGET)
        manifest = _first(members, source)
        total = sum(entry.size for entry in manifest.files)
        compare(manifest, _unpack(members, None, "verify", total, report), str(bundle))
    return manifest


def read_folder(folder: Path) -> Manifest:
    """The manifest of an unpacked bundle. Raises UnsafeModel."""
    try:
        with (folder / MANIFEST_NAME).open("rb") as file:
            data = file.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise UnsafeModel(f"Not a bundle: {MANIFEST_NAME}: {error.strerror}", where=str(folder)) from None
    return decode_manifest(data, str(folder))


REBUILD = "build it again with: cloudmodel package"


def compare(manifest: Manifest, found: Mapping[str, tuple[str, int]], where: str) -> None:
    """Raises BundleChanged naming the first file that differs from the manifest."""
    listed = {entry.path: (entry.sha256, entry.size) for entry in manifest.files}
    for path in sorted(listed.keys() | found.keys()):
        if listed.get(path) == found.get(path):
            continue
        how = "is missing" if path not in found else "was added" if path not in listed else "has changed"
        raise BundleChanged(f"{path} {how} since the bundle was built", where=where, hint=REBUILD)


class _HashingWriter:
    """A file whose written bytes are hashed on the way, so that nobody reads them again to name them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.flush = file.flush

    def write(self, data: bytes, /) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class _Hashing:
    """A file whose read bytes are hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _changed(path: str, folder: Path) -> BundleChanged:
    return BundleChanged(f"{path} changed while the bundle was built", where=str(folder), hint="run package again")


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o644
    return header  # TarInfo's own defaults: mtime 0, uid and gid 0, no user or group name


@contextlib.contextmanager
def _opened(archive: Path, budget: tar.Budget) -> Iterator[tar.Source]:
    """The unpacked stream. Raises UnsafeModel for a file that is not gzip."""
    try:
        with archive.open("rb") as file, gzip.GzipFile(fileobj=file) as stream:
            yield tar.Source(stream, archive.stat().st_size, budget, str(archive))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnsafeModel(f"Archive refused: {error}", where=str(archive), hint=REBUILD) from None
    except FileNotFoundError:
        raise UsageError("There is no such bundle", where=str(archive)) from None
    except IsADirectoryError:
        raise UsageError("A bundle's archive is a file", where=str(archive)) from None


@contextlib.contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A work folder beside `folder` that takes its place when the block ends without an exception."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("The folder is not empty", where=str(folder), hint="give a new folder")
    work = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield work
        work.chmod(0o755)
        work.replace(folder)
        files.sync_folder(folder.parent)
    except BaseException as error:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise CloudmodelError(
                f"The bundle could not be unpacked: {error.strerror or error}",
                where=str(error.filename or folder),
                hint="nothing is left of it; make room or mend the permissions, then try again",
            ) from error
        raise


def _first(members: Iterator[tuple[tar.Member, Iterator[bytes]]], source: tar.Source) -> Manifest:
    for member, content in members:
        if member.name != MANIFEST_NAME or member.folder:
            break
        if member.size > MAX_MANIFEST:
            raise source.refuse(f"{MANIFEST_NAME} has {member.size:,} bytes")
        return decode_manifest(b"".join(content), source.where)
    raise UnsafeModel(
        f"Not a bundle: {MANIFEST_NAME} is not its first member",
        where=source.where,
        hint="make one with: cloudmodel package",
    )


def _unpack(
    members: Iterator[tuple[tar.Member, Iterator[bytes]]],
    work: Path | None,
    task: str,
    total: int | None,
    report: Report,
) -> Found:
    """Write the members into `work` (None: only read them); returns what they were."""
    found: Found = {}
    done = 0
    for member, content in members:
        if member.folder:
            if work is not None:
                (work / member.name).mkdir(parents=True, exist_ok=True)
            continue
        digest = hashlib.sha256()
        with contextlib.ExitStack() as stack:
            file = None
            if work is not None:
                target = work / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(target.open("xb"))
            for piece in content:
                digest.update(piece)
                if file is not None:
                    file.write(piece)
        found[member.name] = (digest.hexdigest(), member.size)
        done += member.size
        report(Progress(task, done, total, member.name))
    return found
