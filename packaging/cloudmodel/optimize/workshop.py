"""Where trials are made, asked and timed: child processes, the cache, and the files that both need. The search itself
decides; everything that touches the disk or starts a process is here."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core import confined
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files, samples
from cloudmodel.optimize import inference, machine, measure, stopwatch, trial
from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.cache import Cache, code_of, key_of, versions
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.measure import Effort, Measured
from cloudmodel.optimize.quantize.calibration import CACHE_VARIABLE
from cloudmodel.optimize.recipe import Recipe
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.techniques import TRAINS, find

TRAINING = ("prune", "distill")
ANSWERS = 900.0
"""Seconds that a model may take for all rows of a set."""
PATIENCE = 60.0
"""Seconds that a child has at least, however little of the budget is left: it was started in time."""


@dataclass(frozen=True)
class Made:
    """A trial's model on the disk."""

    model: Path
    sha256: str
    size_bytes: int
    evidence: Sequence[Mapping[str, Any]]


def inapplicable(recipe: Recipe, original: Artifact, material: Material) -> str | None:
    """Why the first step of a recipe cannot be taken on this model, before anything starts."""
    step = recipe.steps[0]
    reason = find(step.technique).inapplicable(original, material, step.values())
    return f"{step.technique}: {reason}" if reason else None


class Workshop:
    """Makes and measures trials of one model, asked with `batch` rows at once. `root` is the cache's folder, `work` a
    scratch folder that its owner removes; `seconds` is a hint of how long a child may take."""

    def __init__(
        self, original: Artifact, material: Material, sets: Sets, *, root: Path, work: Path,
        batch: int = inference.MANY, reuse: bool = False, report: Report = silent,
    ) -> None:  # fmt: skip
        self.original = original
        self.batch = batch
        self.cache = Cache(root.resolve())
        self.work = work
        self.reuse = reuse
        self.report = report
        self.sha256 = onnx_files.digest_of(original.model)
        self.size_bytes = onnx_files.size_of(original.model)
        self.signature = material.signature
        self.digests = {
            "calibration": sets.calibration.digest,
            "train": sets.train.digest if sets.train is not None else None,
        }
        work.mkdir(parents=True, exist_ok=True)
        calibration = sets.calibration.write(work / "calibration.npz")
        train = sets.train.write(work / "train.npz") if sets.train is not None else None
        self.material = replace(material, calibration=calibration, train=train)
        self._children = 0

    def inapplicable(self, recipe: Recipe) -> str | None:
        """Why the first step of a recipe cannot be taken on this model, before anything starts."""
        return inapplicable(recipe, self.original, self.material)

    def key(self, recipe: Recipe) -> str:
        """What decides the bytes of a trial: model, recipe, the rows that it uses, seed and versions; of one that
        trains the metric and the project's own code too."""
        trains = any(step.technique in TRAINS for step in recipe.steps)
        rows = dict(self.digests) if trains else {"calibration": self.digests["calibration"]}
        more = [self.material.metric, self._code] if trains else []
        return key_of(self.sha256, recipe.as_json(), rows, self.material.seed, versions(), *more)

    @cached_property
    def _code(self) -> str:
        return code_of(self.material.folder)

    def make(self, recipe: Recipe, seconds: float, quick: Dataset | None = None) -> Made:
        """A trial's model, from the cache or from a child, which answers the rows of `quick` on the way. Raises what
        the child raised, ChildDied."""

        key = self.key(recipe)
        checkpoints = self.cache.checkpoints(key)

        def build(folder: Path) -> dict[str, Any]:
            job = {
                "recipe": recipe.as_json(),
                "artifact": trial.artifact_to(self.original),
                "material": trial.material_to(self.material),
                "target": str(folder),
                "checkpoints": str(checkpoints),
                "rows": self._rows(quick) if quick is not None else None,
            }
            facts = self._child(trial.BUILD, job, seconds)
            shutil.rmtree(checkpoints, ignore_errors=True)
            if quick is not None:
                written = folder / trial.QUICK
                self.cache.answers(self._answers_key(facts["sha256"], quick), written.replace)
            return facts

        facts = self.cache.artifact(key, build)
        return Made(Path(facts["model"]), facts["sha256"], facts["size_bytes"], facts["evidence"])

    def answers(self, model: Path, sha256: str, data: Dataset) -> dict[str, NDArray[Any]]:
        """A model's answers to all rows of `data`, by output name in the model's order. Raises ChildDied after
        ANSWERS seconds."""

        def ask(path: Path) -> None:
            self._child(trial.ANSWER, {"model": str(model), "target": str(path), **self._rows(data)}, ANSWERS)

        path = self.cache.answers(self._answers_key(sha256, data), ask)
        with np.load(path, allow_pickle=False) as found:
            return {output.name: found[output.name] for output in self.signature.outputs}

    def keep(self, answers: Mapping[str, NDArray[Any]], data: Dataset) -> None:
        """Take over answers of the original to all rows of `data` that were computed elsewhere."""
        self.cache.answers(self._answers_key(self.sha256, data), lambda path: inference.write(path, answers))

    def _rows(self, data: Dataset) -> dict[str, Any]:
        path = self.work / f"rows-{data.digest[:16]}.npz"
        if not path.exists():
            data.write(path)
        return {"data": str(path), "signature": self.signature.model_dump(mode="json"), "batch": self.batch}

    def _answers_key(self, sha256: str, data: Dataset) -> str:
        return key_of(sha256, data.digest, self.batch, versions()["onnxruntime"])

    def request(self, data: Dataset) -> Path:
        """The request that is timed: the first rows of `data`."""
        path = self.work / f"request-{self.batch}.npz"
        if not path.exists():
            rows = np.arange(self.batch) % len(data)
            arrays = {name: array[rows] for name, array in data.inputs.items()}
            plain = {name: array.astype(np.str_) if array.dtype == object else array for name, array in arrays.items()}
            samples.write_npz(path, plain)
        return path

    def measure(self, made: Sequence[Made], request: Path, effort: Effort) -> Measured:
        """Time models against the original; kept by the processor, and reused only in a resumed search."""
        key = key_of(
            self.sha256, [each.sha256 for each in made], request.name, vars(effort), machine.fingerprint(), versions(),
            stopwatch.PROTOCOL,
        )  # fmt: skip

        def run() -> dict[str, Any]:
            found = measure.measure(
                self.original.model, [each.model for each in made], request, self._folder(), effort=effort,
                threads=self.material.threads, seed=self.material.seed, report=self.report,
            )  # fmt: skip
            return {
                "ratios": [ratio.as_json() for ratio in found.ratios], "floor": found.floor.as_json(),
                "latency_ms": found.latency_ms, "conditions": dict(found.conditions), "void": found.void,
            }  # fmt: skip

        kept = self.cache.measurement(key, reuse=self.reuse, make=run)
        return Measured(
            ratios=tuple(Interval(**ratio) for ratio in kept["ratios"]),
            floor=Interval(**kept["floor"]),
            latency_ms=kept["latency_ms"],
            conditions=kept["conditions"],
            void=kept["void"],
        )

    def rank(self, made: Made, recipe: Recipe, seconds: float) -> list[dict[str, Any]]:
        """The nodes that the last step of `recipe`, a quantization, hurts, the worst first."""
        job = {
            "recipe": recipe.as_json(), "artifact": trial.artifact_to(self.original), "quantized": str(made.model),
            "material": trial.material_to(self.material), "checkpoints": str(self._folder()),
        }  # fmt: skip
        nodes: list[dict[str, Any]] = self._child(trial.RANK, job, seconds)["nodes"]
        return nodes

    def profile(self, model: Path, request: Path) -> list[dict[str, Any]]:
        """Where a model spends its time, as shares."""
        job = {"model": str(model), "inputs": str(request)}
        nodes: list[dict[str, Any]] = self._child(trial.PROFILE, job, PATIENCE)["nodes"]
        return nodes

    def _child(self, function: str, job: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        return confined.run(
            function, job, folder=self._folder(), seconds=max(PATIENCE, math.ceil(seconds)),
            environment={CACHE_VARIABLE: str(self.cache.ranges)}, report=self.report,
        )  # fmt: skip

    def _folder(self) -> Path:
        self._children += 1
        return self.work / f"child-{self._children}"
