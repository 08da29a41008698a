"""What every training technique does around its own change: find the model, train it, keep it, export it, prove it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.core.errors import NothingChanged
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.formats.model import Frozen
from cloudmodel.formats.pytorch import export, modules, source
from cloudmodel.formats.pytorch.modules import Arrays, Module
from cloudmodel.optimize import proof
from cloudmodel.optimize.metrics import Metric
from cloudmodel.optimize.technique import Artifact, Evidence, Material
from cloudmodel.optimize.training import loop, rows, trained
from cloudmodel.optimize.training.loop import History, Plan
from cloudmodel.optimize.training.loss import Lesson, Mix
from cloudmodel.optimize.training.rows import Rows
from cloudmodel.optimize.training.trained import Trained

CHECKPOINT = "checkpoint-{}.pt"
"""One a training of the step; a step that is done again with the same folder for them goes on from them."""
FACTS = "facts.json"


class Facts(Frozen):
    """What the search cannot read from the graph: multiply-adds and parameters of the PyTorch model before and after,
    and how the training went."""

    macs_before: int
    macs_after: int
    parameters_before: int
    parameters_after: int
    epochs: int = 0
    best_epoch: int = 0
    exporter: str = ""
    exporter_reason: str = ""


@dataclass(frozen=True)
class Desk:
    """A technique's working place: the model that comes in, the project's own original and its answers to the rows that
    are learned from, rows and metric."""

    before: Trained
    original: Module
    wanted: Arrays
    rows: Rows
    metric: Metric


def prepare(before: Artifact, material: Material) -> Desk:
    """Load the data and the models, and fit the metric."""
    divided = rows.split(material)
    inputs = modules.example(divided.learn.inputs, material.signature)
    assert material.source is not None
    original = source.load(material.source)
    for weight in original.parameters():
        weight.requires_grad_(False)
    return Desk(
        before=trained.load(before, material, inputs),
        original=original,
        wanted=modules.answers(original, divided.learn.inputs, material.signature),
        rows=divided,
        metric=rows.metric(material, original, divided),
    )


def lesson_of(student: Module, desk: Desk, material: Material, mix: Mix) -> Lesson:
    """The loss that the student has on the rows that are learned from."""
    return Lesson(student, desk.original, desk.wanted, desk.rows.learn, material.signature, mix)


def teach(
    student: Module, desk: Desk, material: Material, mix: Mix, plan: Plan, file: Path, report: Report = silent
) -> History:
    """Train the student from the rows and the project's original, in place, with its checkpoint in `file`."""
    lesson = lesson_of(student, desk, material, mix)
    try:
        history = loop.descend(
            student, len(desk.rows.learn), lesson, lambda: rows.score(desk.metric, student, desk.rows, material), plan,
            also=lesson.projector, identity=f"{desk.rows.learn.digest} {mix.model_dump_json()}", file=file,
            task=f"train, {desk.metric.name}", report=report,
        )  # fmt: skip
    finally:
        lesson.close()
    return history


def checkpoint(material: Material, folder: Path, number: int) -> Path:
    """Where the step that writes into `folder` keeps how far its training of this number is."""
    place = material.checkpoints or folder
    place.mkdir(parents=True, exist_ok=True)
    return place / CHECKPOINT.format(number)


def finish(after: Trained, desk: Desk, material: Material, folder: Path, history: History | None) -> Artifact:
    """Export the model into `folder`, and write beside it what can be trained on and the facts for `prove`."""
    arrays = desk.rows.stop.inputs
    inputs = modules.example(arrays, material.signature)
    written = export.export(after.module, arrays, material.signature, folder)
    facts = Facts(
        macs_before=modules.macs(desk.before.module, inputs),
        macs_after=modules.macs(after.module, inputs),
        parameters_before=modules.parameters(desk.before.module),
        parameters_after=modules.parameters(after.module),
        epochs=len(history.losses) if history else 0,
        best_epoch=history.best_epoch if history else 0,
        exporter=written.exporter,
        exporter_reason=written.reason,
    )
    place = trained.write(after, folder)
    files.write_text(place / FACTS, facts.model_dump_json(indent=1) + "\n")
    for file in (material.checkpoints or folder).glob(CHECKPOINT.format("*")):
        file.unlink()
    return Artifact(written.model, place)


def smaller(before: Artifact, after: Artifact) -> Evidence:
    """The exported graph itself has fewer weight bytes and a smaller file, and the model fewer multiply-adds.

    Raises NothingChanged where one of them did not shrink.
    """
    assert after.trained is not None
    facts = Facts.model_validate_json((after.trained / FACTS).read_bytes())
    old, new = onnx_files.census(before.model), onnx_files.census(after.model)
    sizes = onnx_files.size_of(before.model), onnx_files.size_of(after.model)
    shrunk = {
        "weight bytes": (old.weight_bytes, new.weight_bytes),
        "multiply-adds": (facts.macs_before, facts.macs_after),
        "file bytes": sizes,
    }
    for what, (was, now) in shrunk.items():
        if now >= was:
            raise NothingChanged(
                f"The exported graph has {now:,} {what}, as many as before ({was:,}) or more",
                hint="ask for more, or leave the step out",
            )
    note = f"exported by {facts.exporter}" + (f" ({facts.exporter_reason})" if facts.exporter_reason else "")
    counts = facts.model_dump(exclude={"exporter", "exporter_reason"})
    return proof.changed(before, after, note=note, bytes_before=sizes[0], bytes_after=sizes[1], **counts)
