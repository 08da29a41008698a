"""What every optimization technique is: applicable or not and why, apply, prove that something changed.

A technique is one module with one class and knows neither the search nor the gates. It runs in a child process, takes
an `Artifact`, and writes a new one into an empty folder; it never changes the one that it was given. Libraries are
imported inside `apply` only, so that asking what is applicable stays cheap.

    before = Artifact(model)
    if (reason := technique.inapplicable(before, material, parameters)) is None:
        after = technique.apply(before, material, parameters, folder)
        evidence = technique.prove(before, after)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import ConfigDict

from cloudmodel.core.progress import Report, silent
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Frozen, Signature

Family = Literal["graph", "quantize", "prune", "distill"]
"""The words of `optimize.techniques` in cloudmodel.yaml."""

SEED = 20_251_125


class Parameters(Frozen):
    """The parameters of a technique, each with a default. An unknown name or a value of another type is an error, never
    ignored: the libraries underneath accept misspelt options in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Artifact:
    """A model between two steps of a recipe.

    `model` is the ONNX file that would be served (its weights beside it where they are external). `trained` is what
    PyTorch goes on training from: a folder or file that the training techniques write and read (or the source that
    the project names, see `Source`); None where the model exists as ONNX only, or an ONNX step came since.
    """

    model: Path
    trained: Path | None = None


@dataclass(frozen=True)
class Material:
    """Everything a technique may use besides the model. The selection and final sets are not in it.

    `calibration` and `train` are npz files: an array a model input, named as in `signature`, first dimension = rows;
    `train` also has the array `labels`. The two share no row. `metric` is the project's metric (`accuracy`, …,
    `module:function` importable from `folder`). `threads` is how many cores may be used. `checkpoints` is a folder that
    outlives a step that is stopped; without one, the step's own folder keeps where its training stands.
    """

    signature: Signature
    calibration: Path | None = None
    train: Path | None = None
    source: Source | None = None
    metric: str | None = None
    folder: Path = field(default_factory=Path.cwd)
    seed: int = SEED
    threads: int = 1
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Evidence:
    """What a step really changed: `counts` are numbers for the report and the manifest (`{"quantized": 4,
    "nodes_before": 13, "nodes_after": 22}`), `note` what a reader must know of it (`no speed-up expected`)."""

    counts: Mapping[str, int | float]
    note: str = ""


class Technique(Protocol):
    """One way to make a model faster or smaller."""

    name: ClassVar[str]
    """As recipes spell it: `static-int8`."""
    family: ClassVar[Family]
    parameters: ClassVar[type[Parameters]]

    def inapplicable(self, before: Artifact, material: Material, parameters: Any) -> str | None:
        """Why it cannot be applied here, with what would have to be given or installed; None where it can.

        Reads headers at most, and starts no work. Raises nothing for an honest model.
        """

    def apply(
        self, before: Artifact, material: Material, parameters: Any, folder: Path, report: Report = silent
    ) -> Artifact:
        """Write the new model into `folder`, which is empty; the ONNX file is called `model.onnx`.

        The same arguments give the same bytes (`material.seed`, no time, no machine path inside). Raises
        CloudmodelError, naming tensor, file and fix.
        """

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        """What changed, counted in the graphs themselves. Raises NothingChanged where the step did nothing."""
