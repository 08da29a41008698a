"""From a factory and its weights to an ONNX file, in a confined child: the factory has no network, no credentials
and no time or memory without end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.core import confined
from cloudmodel.core.errors import ProjectInvalid, StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import samples
from cloudmodel.formats.extras import missing
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Frozen, Signature

FUNCTION = "cloudmodel.optimize.source_export:run"
SECONDS = 900.0
ROWS = 8


class ExportedSource(Frozen):
    """The file, which exporter wrote it, why the first one did not (empty where it did), and the largest difference to
    the PyTorch model on three batch sizes, over the largest answer."""

    model: str
    exporter: str
    reason: str
    worst: float


def export_source(
    source: Source,
    signature: Signature,
    folder: Path,
    *,
    seconds: float = SECONDS,
    memory: int | None = None,
    report: Report = silent,
) -> ExportedSource:
    """Write `model.onnx` into `folder`. The inputs of `signature` are needed; outputs without a name are `output`, or
    `output_0` and so on.

    Raises ProjectInvalid for inputs that are not given, a factory that fails, weights of another model; UnsafeModel for
    weights that are code; StepFailed where no exporter can; ChildDied.
    """
    if reason := missing("torch"):
        raise ProjectInvalid(f"A PyTorch factory {reason}", where=source.factory, hint="install it, or export to ONNX")
    if not signature.inputs:
        raise ProjectInvalid(
            "A factory does not say what its model takes",
            where="model.inputs",
            hint="inputs: [{name: image, dtype: float32, shape: [batch, 3, 224, 224]}]",
        )
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "factory": source.factory,
        "project": str(source.folder.resolve()),
        "weights": None if source.weights is None else str((source.folder / source.weights).resolve()),
        "signature": signature.model_dump(mode="json"),
        "folder": str(folder.resolve()),
    }
    answer = confined.run(FUNCTION, job, folder=folder / "work", seconds=seconds, memory=memory, report=report)
    return ExportedSource.model_validate(answer)


def run(job: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The child's part of `export_source`."""
    from cloudmodel.formats.pytorch import export, modules, source

    report(Progress("load", note=job["factory"]))
    weights = None if job["weights"] is None else Path(job["weights"])
    signature = Signature.model_validate(job["signature"])
    with modules.quiet():
        module = source.load(Source(folder=Path(job["project"]), factory=job["factory"], weights=weights))
        arrays = _inputs(module, signature)
        report(Progress("export", note=job["factory"]))
        written = export.export(module, arrays, signature, Path(job["folder"]))
    return {
        "model": str(written.model), "exporter": written.exporter, "reason": written.reason, "worst": written.worst
    }  # fmt: skip


def _inputs(module: Any, signature: Signature) -> dict[str, Any]:
    """Rows that the model takes: the first guess at open sizes and largest integers that it runs with."""
    from cloudmodel.formats.pytorch import modules

    first: StepFailed | None = None
    for guess in samples.guesses(signature):
        arrays = samples.make(signature, ROWS, guess)
        try:
            modules.call(module, modules.tensors(arrays, signature))
        except StepFailed as error:
            first = first or error
            continue
        return arrays
    assert first is not None
    raise first
