"""What every format is for `package`: a model opened in its own format, asked through its own runtime, and the ways to
write it as ONNX.

To write a format, add a module with

    def open_model(job: Job) -> Original: ...

and name it in FORMATS. The module is imported in a confined child only (`formats.opening`), so it imports its runtime
at the top. What it gets is a copy that was scanned: `job.path`, a file or for a folder format the whole folder. There
is no network, there are no credentials, one thread computes, and memory is bounded.

The framework does the rest: it asks on three batch sizes (rows of the project's held-out data, else made from a seed
by `samples`), fills in the outputs' shapes from the answers where the format does not know them, asks the first request
again and refuses a model that remembers, tries the exporters in order until a file answers as the model did
(`formats.export`), and records requests and answers for parity. A format compares nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.preprocess import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Job:
    """What is opened: `path` is the scanned copy; for a factory, of its weights (None where it has none). `inputs` is
    what the project says of the inputs (`model.inputs`), needed where the file does not say. `trusted`: its user knows
    what code it runs, the scan does not. `own`: it stays what it is, and is opened as its own runtime opens it.
    `checked`: its weights are known to be numbers."""

    format: str
    path: Path | None
    inputs: tuple[Tensor, ...] = ()
    source: Source | None = None
    trusted: bool = False
    own: bool = False
    checked: bool = False


@dataclass(frozen=True)
class Asked:
    """Requests that the model answers, one for each of `samples.BATCHES`, its answers, the sizes that open dimensions
    had; `signature` is complete. Of a large model that stays what it is there is one request, without an answer."""

    signature: Signature
    requests: Sequence[Arrays]
    answers: Sequence[Arrays]
    sizes: Sequence[Mapping[str, int]]


Exporter = Callable[[Asked, Path], Path]
"""Writes `model.onnx` into an existing folder and returns its path: opset 20 and IR 10 where the library can, inputs
and outputs named as in `asked.signature`, first dimension open. Raises anything; the message becomes the reason."""


class Original(Protocol):
    """An open model."""

    @property
    def signature(self) -> Signature:
        """Inputs with name, numpy dtype and shape (a word for an open size), in order, without what the project
        narrows. Outputs may be left empty: they are then taken from the answers."""

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth keeping in the manifest, as JSON: versions, class names."""

    def answer(self, request: Arrays) -> Arrays:
        """Every output by name, with a row for each row of the request, in the dtype and shape that the model itself
        gives. Raises StepFailed where it cannot compute with these inputs: others are tried then."""

    def exporters(self) -> Mapping[str, Exporter]:
        """Ways to ONNX by name, the best first. Raises StepFailed with the reason where there can be none."""


@runtime_checkable
class GivesRows(Protocol):
    """An original that knows inputs which tell more than random ones: words of its vocabulary, its categories."""

    def rows(self, signature: Signature) -> Arrays | None:
        """Rows for every input by name, used where the project gives none; None where random ones tell as much."""


@runtime_checkable
class Prepared(Protocol):
    """An Original whose people do not send tensors: texts."""

    def request(self, batch: int) -> Arrays:
        """What it is asked with where the project has no rows: numbers at random are no sentences."""

    def preprocess(self) -> Steps:
        """What the bundle does to make tensors."""


class Keeps(Protocol):
    """An Original that is written anew for a layout of its own runtime."""

    def save(self, path: Path, asked: Asked) -> None:
        """Write it to `path`, a file or a folder. Raises StepFailed with the reason where it cannot be written."""


@dataclass(frozen=True)
class Format:
    """`module` has `open_model`; `kinds` are the words of `formats.detect` and the scanner for its files, none for a
    format that is a folder; `extra` of this package brings its runtime. `mapped` are the files of weights that its
    runtime maps: a large model that has them stays what it is. `keeps` is the format in which a model is kept that
    does not become ONNX, where its own file will not do: its Original `Keeps` then."""

    module: str
    kinds: tuple[str, ...] = ()
    extra: str | None = None
    keeps: str | None = None
    mapped: str | None = None

    def kept(self, format: str) -> str:
        """The format of the files that a layout of the model's own runtime gets."""
        return self.keeps or format


FORMATS: Mapping[str, Format] = {
    "onnx": Format("cloudmodel.formats.onnx_original", kinds=("onnx",)),
    "keras": Format(
        "cloudmodel.formats.tensorflow.keras_model", kinds=("keras", "hdf5"), extra="keras", keeps="savedmodel"
    ),
    "savedmodel": Format("cloudmodel.formats.tensorflow.saved", extra="keras", keeps="savedmodel"),
    "torch": Format("cloudmodel.formats.pytorch.factory", kinds=("torch",), extra="torch", keeps="torch-export"),
    "safetensors": Format(
        "cloudmodel.formats.pytorch.factory", kinds=("safetensors",), extra="torch", keeps="torch-export"
    ),
    "torchscript": Format("cloudmodel.formats.pytorch.torchscript", kinds=("torchscript",), extra="torch"),
    "torch-export": Format("cloudmodel.formats.pytorch.program", kinds=("torch-export",), extra="torch"),
    "sklearn": Format(
        "cloudmodel.formats.sklearn.original", kinds=("joblib", "pickle", "skops"), extra="sklearn", keeps="sklearn"
    ),
    "huggingface": Format("cloudmodel.formats.huggingface.original", extra="huggingface", mapped="*.safetensors"),
}
"""By the words of `model.format` in cloudmodel.yaml."""


def open_original(job: Job) -> Original:
    """The model of a job, by its format. In a confined child only. Raises CloudmodelError."""
    opened: Original = import_module(FORMATS[job.format].module).open_model(job)
    return opened
