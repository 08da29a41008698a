"""From a model to a bundle in a store: copy, scan the copy, open, export, layout, parity, manifest, archive."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudmodel.bundle import archive, parity
from cloudmodel.bundle import store as stores
from cloudmodel.bundle.build import Packaged, build, list_files, versions
from cloudmodel.bundle.manifest import TRUSTED, Manifest, Provenance
from cloudmodel.bundle.store import BundleStore
from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import CloudmodelError, ProjectInvalid, Unsupported
from cloudmodel.core.naming import PROJECT_NAME
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import choose, opening, preprocess, scan
from cloudmodel.formats.choose import Found
from cloudmodel.formats.factory import Source
from cloudmodel.formats.onnx import MODEL_FILE
from cloudmodel.formats.opening import Opened
from cloudmodel.formats.original import FORMATS, Job
from cloudmodel.formats.preprocess import IdSteps, Steps
from cloudmodel.formats.signatures import as_tensors
from cloudmodel.serving import answering, labels, target, wheels
from cloudmodel.serving.layout import ONNX, Content

MODEL = "model"
"""The folder of the copy that is opened."""
STAYS = (
    "its weights take {size:.1f} GiB, and from 2 GiB on they stay in their own files: an export holds them in memory"
)
PREPARING = ("onnxruntime", "huggingface")
"""The layouts whose code of ours runs before the model, too."""


@dataclass(frozen=True)
class ModelSource:
    """A model and what the project says of it.

    `source` is a file, a folder that is a model or has exactly one ONNX file, or a factory with its weights; `format` a
    word of `model.format`. `inputs` narrows the model's own inputs (name, dtype, shape), or names them where the format
    does not. `samples` is an npz file with real inputs for parity. `trust` has the digests (`sha256:<hex>`) of files
    that are loaded although the scan does not call them clean. With `wheels` the bundle brings what its container
    lacks. `preprocess` makes the model's tensors of texts, images or ids. `metadata` goes into the manifest's as it is.
    """

    name: str
    source: Path | Source
    task: str | None = None
    labels: Path | None = None
    inputs: Sequence[Any] = ()
    layout: str = "auto"
    samples: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    format: str = choose.AUTO
    trust: Sequence[str] = ()
    wheels: bool = False
    preprocess: Steps | None = None


def package(source: ModelSource, store: BundleStore, report: Report = silent) -> Packaged:
    """Build the bundle of a model and put it into `store`; the same model gives the same digest.

    Nothing is left behind on an error or Ctrl-C, and the store has the whole bundle or nothing. Raises
    ModelUnreadable or UnsafeModel for a model that must not be loaded, GateNotMet where the bundle answers
    differently from the model, Unsupported, ProjectInvalid, CloudmodelError where the disk is full.
    """
    if not PROJECT_NAME.fullmatch(source.name):
        raise ProjectInvalid(f"{source.name!r} is not a name", where="name", hint="lower-case letters, digits and -")
    if source.preprocess is not None and (reason := source.preprocess.lacks()):
        raise ProjectInvalid(f"Preprocessing of the kind {source.preprocess.kind} {reason}", where="model.preprocess")
    try:
        found = choose.find(source.source, source.format)
        with store.workplace() as work, _named(found, work):
            return _package(source, found, store, work, report)
    except OSError as error:
        raise CloudmodelError(
            f"The model could not be packaged: {error.strerror or error}",
            where=str(error.filename or store.location),
            hint="nothing was kept; make room or mend the permissions, then run package again",
        ) from error


@contextlib.contextmanager
def _named(found: Found, work: Path) -> Iterator[None]:
    """An error in the copy is an error in the user's own file: a folder that is gone helps nobody."""
    try:
        yield
    except CloudmodelError as error:
        own = str(found.path or found.title)
        copy = str(work / MODEL / (found.path.name if found.path else MODEL))
        inside = re.compile(re.escape(str(work)) + r"(/[\w.-]+)*")

        def named(text: str) -> str:
            return inside.sub(lambda _: own, text.replace(copy, own))

        error.message = named(error.message)
        error.where = error.where and named(error.where)
        error.args = (error.message,)
        raise


def _package(source: ModelSource, found: Found, store: BundleStore, work: Path, report: Report) -> Packaged:
    trusted = frozenset(source.trust)
    digests = Digests()
    report(Progress("scan", note=found.title))
    own_format = FORMATS[found.format].kept(found.format)
    able = target.choose(source.layout, own_format)
    folder, own = work / "bundle", work / MODEL
    folder.mkdir()
    own.mkdir()
    is_onnx = found.format == ONNX
    if is_onnx:
        choose.judge(found, trusted)  # a copy shows no links
    copy = choose.copy(found, folder if is_onnx else own, digests)
    verdict = choose.judge(copy, trusted)  # of the very bytes that are loaded and shipped
    excused = choose.excused(copy, trusted, digests) if verdict.verdict != "clean" else []
    report(Progress("load", note=found.title))
    wanted = next((name for name in able if ONNX in target.LAYOUTS[name].takes), None)
    stays = next((name for name in able if own_format in target.LAYOUTS[name].takes), None)
    large = _large(copy)
    alone = bool(large and stays and _mapped(copy)) and (wanted is None or source.layout == target.AUTO)
    wanted = None if alone else wanted
    opened = opening.open_model(
        Job(
            copy.format, copy.path, as_tensors(source.inputs), copy.source, trusted=bool(excused),
            own=not is_onnx and wanted is None, checked=is_onnx,
        ),
        work / "opened",
        folder=None if is_onnx or wanted is None else folder,
        data=source.samples,
        large=large,
        ids=source.preprocess.counts if isinstance(source.preprocess, IdSteps) else None,
        alone=alone,
        report=report,
    )  # fmt: skip
    ready = is_onnx or opened.exported is not None
    layout = wanted if ready else stays
    if layout is None:
        raise Unsupported(
            f"The model cannot become ONNX, and no layout serves a {found.format} model itself: {opened.reason}",
            where=str(copy.path or copy.title),
        )
    report(Progress("layout", note=layout))
    model = folder / MODEL_FILE if ready else opened.kept or copy.path or own
    digest = choose.digest(own if copy.sharded else copy.path or model, digests)
    # Written by a process that had opened the user's model; of a trusted one nobody can say more than its user did.
    if opened.exported is not None:
        scan.require_clean(scan.scan(model))
    elif opened.kept is not None and verdict.verdict == "clean":
        choose.judge(Found(own_format, model))
    content = Content(
        source.name, ONNX if ready else own_format, model, opened.asked.signature, source.task,
        None if ready else opened.facts.get("head"),
    )  # fmt: skip
    prepares = _prepare(source, opened, folder, layout)
    target.LAYOUTS[layout].write(folder, content)
    brought = wheels.bring(folder, layout, report) if source.wheels else ()
    named = labels.copy(source.labels, folder, opened.asked.signature) or labels.own(opened.facts.get("labels"), folder)
    where = str(copy.path or copy.title)
    if alone:
        half = opened.facts.get("dtype") != "float32"
        proven, golden = parity.tried(opened.asked, folder, large=large, half=half, where=where, report=report)
    else:
        proven, golden = parity.prove(
            opened.asked,
            folder,
            exported=opened.exported is not None,
            where=where,
            container=answering.foreign(layout, source.name, opened.asked.signature),
            large=large,
            report=report,
        )
    manifest = Manifest(
        name=source.name,
        task=source.task,
        format=found.format,
        layout=layout,
        signature=opened.asked.signature,
        labels=named,
        scan=verdict,
        parity=proven,
        golden=golden,
        files=archive.entries(folder, list_files(folder), digests),
        provenance=Provenance(source=found.title, source_sha256=digest),
        versions=versions(),
        metadata={
            **_facts(opened, found.format, large if alone else 0),
            **({TRUSTED: excused} if excused else {}),
            **({wheels.WHEELS: [each.model_dump() for each in brought]} if brought else {}),
            **prepares,
            **source.metadata,
        },
    )
    return build(folder, manifest, store, digests, report)


def _prepare(source: ModelSource, opened: Opened, folder: Path, layout: str) -> dict[str, Any]:
    """Put what makes tensors of texts, images or ids into the bundle; what the manifest says of it.

    Raises ProjectInvalid where it does not fit the model, Unsupported for a layout without code of ours.
    """
    if layout not in PREPARING:
        if source.preprocess is not None:
            raise Unsupported(f"The layout {layout} runs no code before its model", where="model.preprocess")
        return {}
    if source.preprocess is not None:
        source.preprocess.check(opened.asked.signature)
        preprocess.write(source.preprocess, folder)
    elif opened.prepares is not None:
        shutil.copytree(opened.prepares, folder / preprocess.FOLDER)
    else:
        return {}
    return {"preprocess": json.loads((folder / preprocess.FOLDER / preprocess.FILE).read_text(encoding="utf-8"))}


def _mapped(copy: Found) -> bool:
    pattern = FORMATS[copy.format].mapped
    return pattern is not None and copy.path is not None and any(copy.path.glob(pattern))


def _large(copy: Found) -> int:
    """The bytes of a model's own files, where they are large; else 0."""
    if copy.path is None:
        return 0
    whole = copy.path if copy.path.is_dir() else copy.path.parent
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    return size if size > stores.LARGE else 0


def _facts(opened: Opened, format: str, large: int) -> dict[str, Any]:
    """What the manifest keeps beyond its own fields: of an ONNX model its facts as they are, of every other one how it
    became ONNX, or why it did not."""
    sizes = dict(opened.asked.sizes[0])
    if format == ONNX:
        return {**opened.facts, "sizes": sizes}
    export: dict[str, Any] = {"reason": STAYS.format(size=large / (1 << 30)) if large else opened.reason}
    if (written := opened.exported) is not None:
        export = {"exporter": written.exporter, "reason": written.reason, "worst": written.worst}
    return {"original": opened.facts, "export": export, "sizes": sizes}


__all__ = ["ModelSource", "Packaged", "package"]
