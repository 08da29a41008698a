"""From a model file to a bundle in a store: scan, copy, load, layout, parity, manifest, archive."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudmodel.bundle import archive, parity
from cloudmodel.bundle.build import Packaged, build, list_files, versions
from cloudmodel.bundle.manifest import Manifest, Provenance
from cloudmodel.bundle.store import BundleStore
from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, ProjectInvalid
from cloudmodel.core.naming import PROJECT_NAME
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import detect, onnx, samples, scan
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.serving import target

LABELS_FILE = "labels.txt"
MAX_LABELS = 16 << 20


@dataclass(frozen=True)
class ModelSource:
    """A model file and what the project says of it. `source` is an ONNX file or a folder with exactly one; `inputs`
    narrows the model's own inputs (name, dtype, shape); `samples` is an npz file with real inputs for parity;
    `metadata` goes into the manifest's as it is."""

    name: str
    source: Path
    task: str | None = None
    labels: Path | None = None
    inputs: Sequence[Any] = ()
    layout: str = "auto"
    samples: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def package(source: ModelSource, store: BundleStore, report: Report = silent) -> Packaged:
    """Build the bundle of a model and put it into `store`; the same model gives the same digest.

    Nothing is left behind on an error or Ctrl-C, and the store has the whole bundle or nothing. Raises
    ModelUnreadable or UnsafeModel for a model that must not be loaded, GateNotMet where the bundle answers
    differently from the model, Unsupported, ProjectInvalid, CloudmodelError where the disk is full.
    """
    if not PROJECT_NAME.fullmatch(source.name):
        raise ProjectInvalid(f"{source.name!r} is not a name", where="name", hint="lower-case letters, digits and -")
    try:
        path = find_model(source.source)
        with tempfile.TemporaryDirectory(prefix="cloudmodel-package-") as work, _named(path, Path(work)):
            return _package(source, path, store, Path(work), report)
    except OSError as error:
        raise CloudmodelError(
            f"The model could not be packaged: {error.strerror or error}",
            where=str(error.filename or store.location),
            hint="nothing was kept; make room or mend the permissions, then run package again",
        ) from error


@contextlib.contextmanager
def _named(path: Path, work: Path) -> Iterator[None]:
    """An error in the copy is an error in the user's own file: a folder that is gone helps nobody."""
    try:
        yield
    except CloudmodelError as error:
        inside = re.compile(re.escape(str(work)) + r"(/[\w.-]+)*")
        error.message = inside.sub(lambda _: str(path), error.message)
        error.where = error.where and inside.sub(lambda _: str(path), error.where)
        error.args = (error.message,)
        raise


def _package(source: ModelSource, path: Path, store: BundleStore, work: Path, report: Report) -> Packaged:
    report(Progress("scan", note=path.name))
    scan.require_clean(scan.scan(path))
    folder = work / "bundle"
    folder.mkdir()
    copy = onnx.export(path, folder)
    verdict = scan.scan(copy)  # of the very bytes that are loaded and shipped
    scan.require_clean(verdict)
    report(Progress("load", note=path.name))
    model = onnx.load(copy)
    signature = narrow(model.signature, source.inputs)
    layout = target.choose(source.layout, model.format)
    report(Progress("layout", note=layout))
    target.WRITERS[layout](folder)
    labels = _copy_labels(source.labels, folder)
    data = samples.load(source.samples, signature) if source.samples else None
    proven, sizes, golden = parity.prove(copy, folder, signature, data=data, report=report)
    manifest = Manifest(
        name=source.name,
        task=source.task,
        format=model.format,
        layout=layout,
        signature=signature,
        labels=labels,
        scan=verdict.scan,
        parity=proven,
        golden=golden,
        files=archive.entries(folder, list_files(folder)),
        provenance=Provenance(source=path.name, source_sha256=files.sha256(copy)),
        versions=versions(),
        metadata={**model.facts, "sizes": sizes, **source.metadata},
    )
    return build(folder, manifest, work, store, report)


def find_model(source: Path) -> Path:
    """The model file itself: `source`, or the one ONNX file of a folder. Raises ProjectInvalid."""
    if not source.is_dir():
        return source
    found = [path for path in sorted(source.iterdir()) if path.is_file() and detect.detect(path) == onnx.FORMAT]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ProjectInvalid(
            f"A model folder must hold exactly one ONNX file; found: {names}",
            where=str(source),
            hint="name the file itself as model.source",
        )
    return found[0]


def narrow(signature: Signature, inputs: Sequence[Any]) -> Signature:
    """The signature with the sizes and symbols that the project names for its inputs. Raises ProjectInvalid where
    the project contradicts the model."""
    if not inputs:
        return signature
    wanted = {tensor.name: tensor for tensor in (_as_tensor(item) for item in inputs)}
    own = {tensor.name for tensor in signature.inputs}
    if unknown := sorted(set(wanted) - own):
        raise ProjectInvalid(
            f"The model has no input {unknown[0]!r}", where="model.inputs", hint=f"it has: {', '.join(sorted(own))}"
        )
    return Signature(
        inputs=tuple(_narrow_one(tensor, wanted.get(tensor.name)) for tensor in signature.inputs),
        outputs=signature.outputs,
    )


def _as_tensor(item: Any) -> Tensor:
    if isinstance(item, dict):
        return Tensor(name=item["name"], dtype=item["dtype"], shape=tuple(item["shape"]))
    return Tensor(name=item.name, dtype=item.dtype, shape=tuple(item.shape))


def _narrow_one(own: Tensor, wanted: Tensor | None) -> Tensor:
    if wanted is None:
        return own
    fits = (
        wanted.dtype == own.dtype
        and len(wanted.shape) == len(own.shape)
        and all(isinstance(have, str) or have == want for have, want in zip(own.shape, wanted.shape, strict=True))
    )
    if not fits:
        raise ProjectInvalid(
            f"Input {own.name!r} is {own.dtype}{list(own.shape)}, not {wanted.dtype}{list(wanted.shape)}",
            where="model.inputs",
            hint="name sizes only for dimensions that the model leaves open",
        )
    return wanted


def _copy_labels(labels: Path | None, folder: Path) -> str | None:
    if labels is None:
        return None
    try:
        if labels.stat().st_size > MAX_LABELS:
            raise ProjectInvalid("The labels file is too large", where=str(labels))
        labels.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProjectInvalid("There is no such labels file", where=str(labels), hint="check model.labels") from None
    except UnicodeDecodeError:
        raise ProjectInvalid("The labels file is not UTF-8 text", where=str(labels)) from None
    shutil.copyfile(labels, folder / LABELS_FILE)
    return LABELS_FILE


__all__ = ["ModelSource", "Packaged", "find_model", "narrow", "package"]
