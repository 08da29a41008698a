"""`optimize` as one call: a model and what the project says of it in, what was found out, and its document."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cloudmodel.core import confined, workplace
from cloudmodel.core.errors import Cancelled, CloudmodelError, ProjectInvalid, UsageError
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature
from cloudmodel.optimize import inference, machine, metrics, result, sets, space, trial
from cloudmodel.optimize.cache import versions
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.gate import Demand
from cloudmodel.optimize.recipe import Recipe
from cloudmodel.optimize.search import Search
from cloudmodel.optimize.technique import SEED, Artifact, Material
from cloudmodel.optimize.techniques import TRAINS
from cloudmodel.optimize.trials import Found, Objective, Wish
from cloudmodel.optimize.workshop import ANSWERS, TRAINING, Workshop, inapplicable

WORK = ".searching-"
"""Scratch of a search, below its cache: what a killed one left is swept by the next."""


@dataclass(frozen=True)
class Request:
    """What the project says: the model and its signature, the data and the metric, what must hold, what is wanted.

    `evaluate`, `train` and `calibrate` are files below `folder`, or functions of it. `source` is the PyTorch model
    behind the ONNX file, where there is one. `cache` is a folder that outlives the run.
    """

    model: Path
    signature: Signature
    folder: Path
    evaluate: str
    metric: str
    cache: Path
    train: str | None = None
    calibrate: str | None = None
    source: Source | None = None
    demand: Demand = Demand()  # noqa: RUF009  # frozen
    objective: Objective = "latency"
    techniques: Sequence[str] = ("graph", "quantize", "prune", "distill")
    budget: float = 300.0
    recipes: tuple[Recipe, ...] | None = None
    resume: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was found: the chosen model's file (None: leave it as it is), the document without bundle and report, and
    the provenance for a bundle's manifest."""

    found: Found
    model: Path | None
    document: dict[str, Any]
    provenance: dict[str, Any] | None


def optimize(request: Request, report: Report = silent) -> Outcome:
    """Search, gate and measure; see `search`. What is wrong with model, data or recipes is said before work starts.

    Raises ProjectInvalid, UsageError; Cancelled on Ctrl-C, when all trials that are whole are kept.
    """
    report(Progress("data", note=request.evaluate))
    divided = sets.divide(
        request.evaluate, request.folder, request.signature, train=request.train, calibrate=request.calibrate, seed=SEED
    )
    model = request.model.resolve()
    if not request.signature.outputs:
        raise ProjectInvalid("The model has no outputs", where=str(request.model))
    batch = inference.batch_of(request.signature, request.objective)
    answers = _original(model, divided.selection, request.signature, batch)
    held_out, *training_file = divided.files
    learned = [each for each in training_file if each.labels is not None and _trains(request)]
    for each in (held_out, divided.final, *learned):
        metrics.check(request.metric, answers, each)
    metric = metrics.fit(request.metric, answers, divided.selection, folder=request.folder)
    material = Material(
        signature=request.signature, source=request.source, metric=request.metric, folder=request.folder, seed=SEED
    )
    source = request.source
    original = Artifact(model, None if source is None else source.weights or source.folder)
    int8 = machine.int8()
    recipes = request.recipes
    training: tuple[Recipe, ...] = ()
    if recipes is None:
        trims = "graph" in request.techniques and inapplicable(space.TRIM, original, material) is None
        recipes = space.after_training(onnx_files.census(model), request.techniques, int8, trims=trims)
        training = space.training(request.techniques, int8) if divided.train is not None else ()
    if not recipes and not training:
        untried = _untried(request.techniques) if divided.train is None else []
        raise UsageError(
            "; ".join(["No technique is left to try", *untried]),
            hint="give labelled rows as optimize.train, or name other optimize.techniques in cloudmodel.yaml",
        )
    wish = Wish(request.metric, request.demand, request.objective, recipes, training, request.budget)
    _require_applicable(request.recipes or (), original, material, divided)
    request.cache.mkdir(parents=True, exist_ok=True)
    with workplace.folder(request.cache.resolve(), WORK) as work:
        workshop = Workshop(
            original, material, divided, root=request.cache, work=work, batch=batch, reuse=request.resume, report=report
        )
        workshop.keep(answers, divided.selection)
        search = Search(workshop, divided, metric, wish, report)
        try:
            found = search.run()
        except KeyboardInterrupt:
            kept = sum(trial.made is not None for trial in search.found.trials)
            raise Cancelled(
                f"cancelled; {kept} trials are kept", hint="cloudmodel optimize --resume goes on from there"
            ) from None
    not_tried = [] if divided.train is not None or request.recipes else _untried(request.techniques)
    document = result.document(found, metric, divided, wish, workshop.size_bytes, not_tried)
    provenance = None
    if found.chosen is not None:
        digests = {**workshop.digests, "selection": divided.selection.digest, "final": divided.final.digest}
        provenance = result.provenance(found, workshop.sha256, digests, divided, wish, versions())
    made = found.chosen.made if found.chosen else None
    return Outcome(found, made.model if made else None, document, provenance)


def _trains(request: Request) -> bool:
    """Whether labels of optimize.train may be learned from: there is a model to train, and a recipe that does it."""
    if request.source is None or request.source.factory is None:
        return False
    if request.recipes is None:
        return any(name in TRAINING for name in request.techniques)
    return any(step.technique in TRAINS for recipe in request.recipes for step in recipe.steps)


def _original(model: Path, data: Dataset, signature: Signature, batch: int) -> dict[str, Any]:
    """What the original answers to the rows, `batch` at once, by output name; in a child, for it is not yet known what
    it takes. Raises StepFailed and ChildDied, which name the model's file."""
    with tempfile.TemporaryDirectory(prefix="cloudmodel-optimize-") as work:
        rows, target = data.write(Path(work, "rows.npz")), Path(work, "answers.npz")
        job = {"model": str(model), "data": str(rows), "target": str(target), "batch": batch}
        try:
            confined.run(
                trial.ANSWER, {**job, "signature": signature.model_dump(mode="json")}, folder=Path(work, "child"),
                seconds=ANSWERS,
            )  # fmt: skip
        except CloudmodelError as error:
            error.where = str(model)
            raise
        with np.load(target, allow_pickle=False) as found:
            return {output.name: found[output.name] for output in signature.outputs}


def _require_applicable(recipes: Sequence[Recipe], original: Artifact, material: Material, divided: sets.Sets) -> None:
    """Raises UsageError where the project asks for certain recipes and none of them can be applied."""
    # Whether there are rows is asked here, and not yet what they are.
    train = None if divided.train is None else Path(divided.train.where)
    given = replace(material, calibration=Path(divided.calibration.where), train=train)
    reasons = [inapplicable(recipe, original, given) for recipe in recipes]
    if reasons and all(reasons):
        raise UsageError(
            "; ".join(dict.fromkeys(str(reason) for reason in reasons)),
            where=str(original.model),
            hint="take it out of the recipe file; without --recipe, what suits the model is tried",
        )


def _untried(techniques: Sequence[str]) -> list[str]:
    return [f"{name}: it trains, and optimize.train names no data" for name in techniques if name in TRAINING]
