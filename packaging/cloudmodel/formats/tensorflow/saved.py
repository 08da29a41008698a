"""SavedModel, as written by TensorFlow or Keras: one signature of it is the model.

Only what the scan has passed is loaded here: no operation reaches files, Python or a network (`scanning.savedmodel`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from cloudmodel.core.errors import ModelUnreadable, StepFailed
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Asked, Exporter, Job
from cloudmodel.formats.tensorflow import runtime, to_onnx

SERVING = "serving_default"
TAG = "serve"


class SavedModel:
    """A loaded SavedModel, asked through `serving_default`, or through its only signature."""

    def __init__(self, folder: Path) -> None:
        try:
            self._loaded = tf.saved_model.load(str(folder), tags=[TAG])
        except (*runtime.ERRORS, OSError) as error:
            raise ModelUnreadable(
                f"TensorFlow cannot load it: {runtime.line(error)}", where=str(folder), hint="save the model again"
            ) from None
        self._folder = folder
        self._name = choose_signature(self._loaded.signatures, folder)
        self._call = self._loaded.signatures[self._name]
        specs = self._call.structured_input_signature[1]
        found = self._call.structured_outputs
        known = all(found[name].shape.rank is not None for name in found)
        self.signature = Signature(
            inputs=tuple(_tensor(name, spec) for name, spec in specs.items()),
            outputs=tuple(_tensor(name, found[name]) for name in sorted(found)) if known else (),
        )
        self.facts: dict[str, Any] = {
            "signature": self._name,
            "signatures": sorted(self._loaded.signatures),
            "written_by": self._loaded.tensorflow_version,
            "tensorflow": tf.__version__,
        }

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name, in alphabetical order, as TensorFlow Serving has them. Raises StepFailed."""
        try:
            found = self._call(**{name: runtime.to_tensor(array) for name, array in request.items()})
        except runtime.ERRORS as error:
            raise StepFailed(f"TensorFlow fails on this request: {runtime.line(error)}") from None
        return {name: runtime.to_array(name, found[name]) for name in sorted(found)}

    def save(self, path: Path, asked: Asked) -> None:
        """As it is where it has a `serving_default`, which TensorFlow Serving calls unless it is told another name;
        else with its only signature under that name too. Raises StepFailed."""
        if self._name == SERVING:
            shutil.copytree(self._folder, path)
            return
        try:
            tf.saved_model.save(self._loaded, str(path), signatures={self._name: self._call, SERVING: self._call})
        except (*runtime.ERRORS, OSError, AssertionError) as error:
            raise StepFailed(
                f"TensorFlow cannot save it with a {SERVING!r}: {runtime.line(error)}",
                hint=f"save it with signatures={{{SERVING!r}: function}}",
            ) from None

    def exporters(self) -> Mapping[str, Exporter]:
        """tf2onnx on the folder."""
        return to_onnx.exporters(lambda _: self._folder, self._name)


def _tensor(name: str, spec: Any) -> Tensor:
    shape = spec.shape
    return runtime.tensor_of(name, spec.dtype.name, None if shape.rank is None else shape.as_list())


def choose_signature(signatures: Mapping[str, Any], where: Path) -> str:
    """`serving_default`, or the only one that the file has. Raises ModelUnreadable."""
    names = sorted(name for name in signatures if not name.startswith("_"))
    if SERVING in names:
        return SERVING
    if len(names) == 1:
        return names[0]
    raise ModelUnreadable(
        f"The SavedModel has no signature {SERVING!r}; it has: {', '.join(names) or 'none'}",
        where=str(where),
        hint="tf.saved_model.save(model, folder, signatures={'serving_default': function})",
    )


def open_model(job: Job) -> SavedModel:
    """Load the folder. Raises ModelUnreadable, Unsupported."""
    assert job.path is not None
    return SavedModel(job.path)
