"""One confined child a package: it opens the scanned copy, asks it, writes down requests and answers, and writes the
model as ONNX where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.core import confined, pages
from cloudmodel.core.errors import ProjectInvalid, StepFailed, Unsupported
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import preprocess, samples
from cloudmodel.formats.extras import missing
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import FORMATS, Asked, Job
from cloudmodel.formats.signatures import narrow

if TYPE_CHECKING:
    from cloudmodel.formats.export import Exported

ONNX = "onnx"
FUNCTION = "cloudmodel.formats.opening:run"
SECONDS = 3600.0
KEPT = "kept"


@dataclass(frozen=True)
class Opened:
    """What the child found. `exported` is the ONNX file in the bundle's folder, or None with the `reason` why there is
    none; an ONNX model has neither. `kept` is the model in the format that its own runtime's layout takes, where that
    is not the copy itself. `prepares` is the folder of what the format brings to make tensors of texts."""

    asked: Asked
    facts: dict[str, Any]
    exported: Exported | None = None
    reason: str = ""
    kept: Path | None = None
    prepares: Path | None = None


def open_model(
    job: Job, work: Path, *, folder: Path | None, data: Path | None = None, ids: Mapping[str, int] | None = None,
    large: int = 0, alone: bool = False, seconds: float = SECONDS, report: Report = silent,
) -> Opened:  # fmt: skip
    """Open, ask and export; `work` is a scratch folder of the caller's. `folder` is where `model.onnx` goes, None where
    it is not wanted; `data` an npz file with real rows; `ids` says of inputs that are places in lists how long those
    are. `large` are the bytes of weights that are too many to copy into memory; a model that is `alone` is opened and
    not asked: its bundle will be.

    Raises ProjectInvalid where a library is missing or the project contradicts the model, ModelUnreadable, Unsupported,
    ChildDied.
    """
    extra = FORMATS[job.format].extra
    if extra and (reason := missing(extra)):
        raise ProjectInvalid(f"A {job.format} model {reason}", where=str(job.path or ""), hint="or export it to ONNX")
    work.mkdir(parents=True, exist_ok=True)
    message = {
        "format": job.format,
        "path": None if job.path is None else str(job.path.resolve()),
        "trusted": job.trusted,
        "own": job.own,
        "checked": job.checked,
        "large": large,
        "alone": alone,
        "inputs": [tensor.model_dump(mode="json") for tensor in job.inputs],
        "source": None if job.source is None else [str(job.source.folder.resolve()), job.source.factory],
        "folder": None if folder is None else str(folder.resolve()),
        "data": None if data is None else str(data.resolve()),
        "ids": ids or {},
    }
    memory = confined.memory_limit() + large  # what is mapped counts as data there
    said = confined.run(FUNCTION, message, folder=work, seconds=seconds, memory=memory, report=report)
    count = len(said["sizes"])
    asked = Asked(
        signature=Signature.model_validate(said["signature"]),
        requests=[samples.read_npz(work / f"request-{number}.npz") for number in range(count)],
        answers=[] if alone else [samples.read_npz(work / f"answer-{number}.npz") for number in range(count)],
        sizes=said["sizes"],
    )
    exported = None
    if said["exported"] is not None:
        from cloudmodel.formats.export import Exported

        exported = Exported.model_validate(said["exported"])
    kept = work / KEPT if FORMATS[job.format].keeps and exported is None else None
    prepares = work / preprocess.FOLDER
    return Opened(asked, said["facts"], exported, said["reason"], kept, prepares if prepares.exists() else None)


def export(job: Job, folder: Path, *, seconds: float = SECONDS, report: Report = silent) -> Exported:
    """The model as `model.onnx` in `folder`. Raises what `open_model` raises, StepFailed with the reason where it
    cannot become ONNX."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = open_model(job, folder / "work", folder=folder, seconds=seconds, report=report)
    if opened.exported is None:
        raise StepFailed(opened.reason, where=str(job.source.factory if job.source else job.path))
    return opened.exported


def run(message: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The child's part of `open_model`; its working folder is `work`."""
    from cloudmodel.formats.asking import ask, remembers, unasked
    from cloudmodel.formats.original import Prepared, open_original

    job = _job(message)
    where = str(job.path) if job.source is None else str(job.source.factory)
    if message["large"]:
        pages.unpacked(import_module("onnxruntime"))
    original = open_original(job)
    signature = narrow(original.signature, job.inputs)
    data = samples.load(Path(message["data"]), signature) if message["data"] else None
    if data is None and message["ids"]:
        data = samples.places(message["ids"], signature)
    if message["alone"]:
        asked = unasked(original, signature, data)
    else:
        asked = ask(original, signature, data=data, where=where, report=report)
    for what, every in (("request", asked.requests), ("answer", asked.answers)):
        for number, arrays in enumerate(every):
            samples.write_npz(Path(f"{what}-{number}.npz"), samples.plain(arrays))
    if isinstance(original, Prepared):
        preprocess.write(original.preprocess(), Path.cwd())
    said: dict[str, Any] = {
        "signature": asked.signature.model_dump(mode="json"),
        "sizes": asked.sizes,
        "facts": original.facts,
        "exported": None,
        "reason": "",
    }
    if message["alone"]:
        return said
    if job.format != ONNX and remembers(original, asked):
        raise Unsupported(
            "The model answers the same request otherwise the second time: it keeps a state, or it is random",
            where=where,
            hint="a server answers many clients in any order: take the state as an input and give it as an output, or "
            "put the whole sequence into one request",
        )
    if message["folder"] is None:
        _keep(original, asked, job, where)
        return said
    from cloudmodel.formats.export import export

    try:
        written = export(original.exporters(), asked, Path(message["folder"]), where=where)
    except StepFailed as error:
        _keep(original, asked, job, where, error.message)
        return {**said, "reason": error.message}
    said["signature"] = written.signature.model_dump(mode="json")
    return {**said, "exported": written.model_dump(mode="json")}


def _keep(original: Any, asked: Asked, job: Job, where: str, reason: str = "") -> None:
    """Write the model for its own runtime. Raises Unsupported, with `reason` before what kept it from that."""
    if not FORMATS[job.format].keeps:
        return
    try:
        original.save(Path.cwd() / KEPT, asked)
    except StepFailed as error:
        message = f"{reason}; {error.message}" if reason else error.message
        raise Unsupported(message, where=where, hint=error.hint) from None


def _job(message: Mapping[str, Any]) -> Job:
    inputs: Sequence[Any] = message["inputs"]
    path = None if message["path"] is None else Path(message["path"])
    source = message["source"]
    return Job(
        format=message["format"],
        path=path,
        inputs=tuple(Tensor.model_validate(each) for each in inputs),
        source=None if source is None else Source(folder=Path(source[0]), factory=source[1], weights=path),
        trusted=message["trusted"],
        own=message["own"],
        checked=message["checked"],
    )
