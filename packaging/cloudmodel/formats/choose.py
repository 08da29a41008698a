"""Which format a model is of, and which files are the model: by their content. Nothing is loaded, all is scanned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import ProjectInvalid, UnsafeModel
from cloudmodel.formats import detect, onnx, scan, shards
from cloudmodel.formats.copying import copy_file
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Finding, Scan
from cloudmodel.formats.original import FORMATS
from cloudmodel.formats.scanning import archives

AUTO = "auto"
SKLEARN = "sklearn"
SHARDED = "safetensors"
STEPS = (".joblib", ".pkl", ".pickle", ".skops")
"""What the files of a scikit-learn folder end with: `model` is the last step, the others come before it, by name."""


@dataclass(frozen=True)
class Found:
    """A model of a known format: its file, or its folder; for a factory its weights (of several files the index), None
    where it has none."""

    format: str
    path: Path | None
    source: Source | None = None

    @property
    def title(self) -> str:
        """What it is called where it came from."""
        return self.source.factory if self.source and self.source.factory else self.path.name if self.path else ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its files: with an index the shards that it names. Raises what `shards.read` raises."""
        if self.path is None:
            return ()
        if self.path.is_dir():
            return tuple(sorted(path for path in self.path.rglob("*") if path.is_file()))
        return (self.path, *(shards.read(self.path) if self.sharded else ()))

    @property
    def sharded(self) -> bool:
        """Whether its file is the index of several."""
        return self.source is not None and self.path is not None and self.path.name.endswith(shards.ENDING)


def find(source: Path | Source, wanted: str = AUTO) -> Found:
    """What `source` is: a model's file, a folder that is a model, or a folder with exactly one ONNX file; for a factory
    what its weights are. A file of no known format is given back as ONNX, for the scan says better what it is.

    Raises ProjectInvalid for a folder that is none of these or a format that is not the file's, UsageError.
    """
    if isinstance(source, Source):
        return _factory(source, wanted)
    if source.is_dir():
        return _folder(source, wanted)
    kind = detect.detect(source)
    if kind == "zip":
        kind = archives.kind_of_zip(source)
    elif kind in detect.REFINED:
        kind = scan.scan(source).format
    able = [name for name, each in FORMATS.items() if kind in each.kinds]
    if wanted not in (AUTO, *able) and able:
        raise ProjectInvalid(
            f"This is {detect.describe(kind)}, not {wanted}",
            where=str(source),
            hint=f"leave model.format out, or write {' or '.join(able)}",
        )
    return Found(wanted if wanted != AUTO else able[0] if able else onnx.FORMAT, source)


def judge(found: Found, trusted: frozenset[str] = frozenset()) -> Scan:
    """The verdict on every file of a model; what is not clean must be named in `trusted` by its digest
    (`sha256:<hex>`), which excuses imports and calls and no broken structure.

    Raises what `scan.require_clean` raises.
    """
    if found.path is None:
        return Scan(verdict="clean")
    if found.sharded:
        for shard in found.files[1:]:
            scan.require_clean(scan.scan(shard), kinds=FORMATS[found.format].kinds)
        return Scan(verdict="clean")
    if not found.path.is_dir():
        result = scan.scan(found.path)
        scan.require_clean(result, kinds=FORMATS[found.format].kinds, trusted=trusted)
        return result.scan
    for index in found.path.glob(f"*{shards.ENDING}"):
        shards.read(index)  # a shard that is missing or lies elsewhere
    report = scan.scan_paths([found.path])
    for each in report.files:
        scan.require_clean(each, kinds=None, trusted=trusted)
    findings = tuple(
        Finding(rule=finding.rule, location=f"{Path(each.path).relative_to(found.path)}: {finding.location}",
                detail=finding.detail)
        for each in report.files
        for finding in each.findings
    )  # fmt: skip
    return Scan(verdict=report.verdict, findings=findings)


def excused(found: Found, trusted: frozenset[str], digests: Digests) -> list[str]:
    """Those digests of `trusted` that are files of the model, sorted."""
    if not trusted:
        return []
    return sorted(trusted & {f"sha256:{digests.sha256(path)}" for path in found.files})


def copy(found: Found, folder: Path, digests: Digests) -> Found:
    """The model copied into an empty folder, each byte read once: an ONNX file with its weights as a bundle holds them,
    everything else under its own name. No link is followed. Raises UnsafeModel, ModelUnreadable, OSError."""
    if found.path is None:
        return found
    if found.format == onnx.FORMAT:
        return Found(found.format, onnx.export(found.path, folder, digests))
    target = folder / (found.path.name or "model")
    if not found.path.is_dir():
        for path in found.files:
            copy_file(path if found.sharded else path.resolve(), folder / path.name, digests)
        return replace(found, path=target)
    for path in scan.inside(found.path):
        if path.is_symlink() or not path.is_file():
            raise UnsafeModel(
                "A file of the model is a link", where=str(path), hint="put the file itself into the folder"
            )
        copy_file(path, target / path.relative_to(found.path), digests)
    return replace(found, path=target)


def digest(path: Path, digests: Digests) -> str:
    """The hex sha256 of a file; of a folder, that of its files' digests and names in order."""
    if not path.is_dir():
        return digests.sha256(path)
    lines = [
        f"{digests.sha256(each)}  {each.relative_to(path).as_posix()}\n"
        for each in sorted(path.rglob("*"))
        if each.is_file()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _factory(source: Source, wanted: str) -> Found:
    if source.weights is None:
        return Found("torch" if wanted == AUTO else wanted, None, source)
    weights = source.folder / source.weights
    if (index := shards.index_of(weights)) is not None:
        if wanted not in (AUTO, SHARDED):
            raise ProjectInvalid(f"These are shards of {SHARDED}, not {wanted}", where=str(index))
        return Found(SHARDED, index, source)
    if weights.is_dir():
        raise ProjectInvalid(
            "The weights are a folder without an index",
            where=str(source.weights),
            hint=f"name one file of weights, or the {shards.ENDING} file that names its shards",
        )
    return replace(find(weights, wanted), source=source)


def _folder(source: Path, wanted: str) -> Found:
    kind = detect.folder(source)
    if wanted in FORMATS and not FORMATS[wanted].kinds and wanted != kind:
        raise ProjectInvalid(f"This folder is not a {wanted} model", where=str(source), hint="check model.format")
    if kind is not None and kind in FORMATS and wanted in (AUTO, kind):
        return Found(kind, source)
    found = [path for path in sorted(source.iterdir()) if path.is_file() and detect.detect(path) == onnx.FORMAT]
    if wanted == SKLEARN or (not found and wanted == AUTO and _has_steps(source)):
        return Found(SKLEARN, source)
    if not found:
        raise ProjectInvalid(
            "This folder is no model: it has no ONNX file, no saved_model.pb, no config.json with its weights, no "
            "files of scikit-learn",
            where=str(source),
            hint="name the file itself as model.source",
        )
    if len(found) > 1:
        raise ProjectInvalid(
            f"A model folder must hold exactly one ONNX file; found: {', '.join(path.name for path in found)}",
            where=str(source),
            hint="name the file itself as model.source",
        )
    return Found(onnx.FORMAT, found[0])


def _has_steps(folder: Path) -> bool:
    return any(path.suffix in STEPS for path in folder.iterdir())
