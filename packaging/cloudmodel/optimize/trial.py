"""The child that makes a trial: applies a recipe, proves each step, answers rows with what came out.

Every function takes a job and returns an answer, both JSON: see `core.confined`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cloudmodel.core.errors import CloudmodelError, StepFailed
from cloudmodel.core.progress import Progress, Report
from cloudmodel.formats import onnx_files
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature
from cloudmodel.formats.session import open_session
from cloudmodel.optimize import inference, recipe, sensitivity
from cloudmodel.optimize.data import read_npz
from cloudmodel.optimize.profile import profile as profile_of
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.techniques import find

BUILD, ANSWER, RANK, PROFILE = (f"{__name__}:{name}" for name in ("build", "answer", "rank", "profile"))

QUICK = "quick.npz"


def build(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Apply `job["recipe"]` to `job["artifact"]` with `job["material"]`; the result lies in `job["target"]`, with its
    answers to `job["rows"]` (`data`, `signature`, `batch`) as QUICK, where there are rows. A training that was stopped
    goes on from what it left in `job["checkpoints"]`.

    Returns `model` and `trained` (paths), `evidence` of each step, `sha256` and `size_bytes` of the model. Raises
    StepFailed naming the step.
    """
    steps = recipe.parse(job["recipe"]).steps
    target = Path(job["target"])
    artifact, evidence = _applied(steps, job, target, report)
    if job["rows"]:
        answer({**job["rows"], "model": str(artifact.model), "target": str(target / QUICK)}, report)
    else:
        open_session(artifact.model)
    return {
        "model": str(artifact.model),
        "trained": str(artifact.trained) if artifact.trained else None,
        "evidence": evidence,
        "sha256": onnx_files.digest_of(artifact.model),
        "size_bytes": onnx_files.size_of(artifact.model),
    }


def _applied(
    steps: Sequence[recipe.Step], job: dict[str, Any], target: Path, report: Report
) -> tuple[Artifact, list[dict[str, Any]]]:
    """What `steps` make of `job["artifact"]`, and the evidence of each."""
    material = material_from(job["material"])
    artifact = artifact_from(job["artifact"])
    evidence = []
    for number, step in enumerate(steps, 1):
        technique, parameters = find(step.technique), step.values()
        report(Progress(step.technique, number - 1, len(steps)))
        if reason := technique.inapplicable(artifact, material, parameters):
            raise StepFailed(f"{step.technique}: {reason}", where=f"step {number}")
        folder = target / f"step-{number}"
        folder.mkdir(parents=True)
        material = replace(material, checkpoints=Path(job["checkpoints"]) / f"step-{number}")
        try:
            after = technique.apply(artifact, material, parameters, folder, report)
            proven = technique.prove(artifact, after)
        except CloudmodelError as error:
            error.message = f"{step.technique}: {error.message}"
            raise
        evidence.append({"technique": step.technique, "counts": dict(proven.counts), "note": proven.note})
        if number > 1 and artifact.trained is None:
            shutil.rmtree(target / f"step-{number - 1}")
        artifact = after
    return artifact, evidence


def answer(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Answer the rows of `job["data"]`, `batch` at once, with `job["model"]` into the npz file `job["target"]`."""
    signature = Signature.model_validate(job["signature"])
    data = read_npz(Path(job["data"]), signature)
    found = inference.answers(Path(job["model"]), data, signature, job["batch"])
    inference.write(Path(job["target"]), found)
    return {"rows": len(data)}


def rank(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Nodes that the last step of `job["recipe"]`, a quantization, hurts, most first: see `sensitivity.rank`. What the
    steps before it make is made again."""
    material = material_from(job["material"])
    assert material.calibration is not None
    with tempfile.TemporaryDirectory(prefix="cloudmodel-rank-") as work:
        float_model, _ = _applied(recipe.parse(job["recipe"]).steps[:-1], job, Path(work), report)
        prepared = checks.prepare(float_model.model, Path(work))
        ranked = sensitivity.rank(prepared, Path(job["quantized"]), read_npz(material.calibration, material.signature))
    return {"nodes": [{"name": node.name, "operator": node.operator, "sqnr_db": node.sqnr} for node in ranked]}


def profile(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Where a model spends its time: see `profile.profile`."""
    with np.load(job["inputs"], allow_pickle=False) as data:
        inputs = {name: data[name] for name in data.files}
    return {"nodes": profile_of(Path(job["model"]), inputs)}


def artifact_to(artifact: Artifact) -> dict[str, Any]:
    """An artifact as JSON."""
    return {"model": str(artifact.model), "trained": str(artifact.trained) if artifact.trained else None}


def artifact_from(document: dict[str, Any]) -> Artifact:
    """Back from `artifact_to`."""
    return Artifact(Path(document["model"]), Path(document["trained"]) if document["trained"] else None)


def material_to(material: Material) -> dict[str, Any]:
    """Material as JSON."""
    source = material.source
    return {
        "signature": material.signature.model_dump(mode="json"),
        "calibration": str(material.calibration) if material.calibration else None,
        "train": str(material.train) if material.train else None,
        "source": None
        if source is None
        else {"folder": str(source.folder), "factory": source.factory, "weights": _text(source.weights)},
        "metric": material.metric,
        "folder": str(material.folder),
        "seed": material.seed,
        "threads": material.threads,
    }


def material_from(document: dict[str, Any]) -> Material:
    """Back from `material_to`."""
    source = document["source"]
    plain = Material(
        signature=Signature.model_validate(document["signature"]),
        metric=document["metric"],
        folder=Path(document["folder"]),
        seed=document["seed"],
        threads=document["threads"],
    )
    return replace(
        plain,
        calibration=_path(document["calibration"]),
        train=_path(document["train"]),
        source=source and Source(Path(source["folder"]), source["factory"], _path(source["weights"])),
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
