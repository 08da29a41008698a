"""Keras: the `.keras` file of version 3, and HDF5 as Keras 2 wrote it. Never compiled, never with the file's own code.

The scan has refused Lambda layers, classes from other modules, links into other files (`scanning.keras_config`,
`scanning.hdf5`) before this is reached; `safe_mode` says no once more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cloudmodel.core.errors import ModelUnreadable, StepFailed, Unsupported
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Asked, Exporter, Job
from cloudmodel.formats.tensorflow import runtime, to_onnx
from cloudmodel.formats.tensorflow.saved import SERVING

import keras  # isort: skip  # after the settings of `runtime`
import tensorflow as tf  # isort: skip

SUFFIXES = {b"PK": ".keras", b"\x89H": ".h5"}
"""Keras goes by the file's name; a model goes by its first bytes here."""


class KerasModel:
    """A loaded model: inputs by the names of its input layers, outputs by those of its output layers or keys."""

    def __init__(self, path: Path) -> None:
        self._model = _load(path)
        self._structure = self._model.inputs[0] if isinstance(self._model, keras.Sequential) else self._model.input
        self._outputs = _output_names(self._model)
        self.signature = Signature(
            inputs=_tensors(_input_names(self._model), self._model.inputs),
            outputs=_tensors(self._outputs, self._model.outputs),
        )
        self.facts: dict[str, Any] = {
            "class": type(self._model).__name__,
            "parameters": int(self._model.count_params()),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        }

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name, in inference mode. Raises StepFailed."""
        try:
            found = self._named([runtime.to_tensor(request[each.name]) for each in self.signature.inputs])
        except runtime.ERRORS as error:
            raise StepFailed(f"Keras fails on this request: {runtime.line(error)}") from None
        return {name: runtime.to_array(name, value) for name, value in found.items()}

    def quantize(self) -> int:
        """Put every layer that Keras can into int8, in place; returns how many there are."""
        self._model.quantize("int8")
        inner = [layer for layer in self._model._flatten_layers() if not getattr(layer, "layers", [])]
        return sum("int8" in layer.dtype_policy.name for layer in inner)

    def exporters(self) -> Mapping[str, Exporter]:
        """A SavedModel with the signature's names, and tf2onnx on that."""
        return to_onnx.exporters(self._saved, SERVING)

    def save(self, path: Path, asked: Asked) -> None:
        """Write it as a SavedModel whose `serving_default` has the signature's names."""
        self._saved(path)

    def _saved(self, folder: Path) -> Path:
        """Write it as a SavedModel whose `serving_default` has the signature's names; once."""
        if folder.exists():
            return folder
        specs = [
            tf.TensorSpec(value.shape, value.dtype, name=tensor.name)
            for tensor, value in zip(self.signature.inputs, self._model.inputs, strict=True)
        ]
        module = tf.Module()
        module.model = self._model  # keeps its variables and tables alive
        module.serve = tf.function(lambda *values: self._named(values), input_signature=specs)
        tf.saved_model.save(module, str(folder), signatures={SERVING: module.serve})
        return folder

    def _named(self, values: Any) -> dict[str, Any]:
        answer = self._model(keras.tree.pack_sequence_as(self._structure, list(values)), training=False)
        return dict(zip(self._outputs, keras.tree.flatten(answer), strict=True))


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        suffix = SUFFIXES[file.read(2)]
    named = Path.cwd() / f"model{suffix}"
    named.unlink(missing_ok=True)
    os.link(path, named) if path.stat().st_dev == named.parent.stat().st_dev else named.symlink_to(path)
    try:
        model = keras.saving.load_model(str(named), compile=False, safe_mode=True)
    except Exception as error:  # a file can fail in every layer's own way
        raise ModelUnreadable(
            f"Keras {keras.__version__} cannot load it: {runtime.line(error)}",
            where=str(path),
            hint="save it again with a newer Keras, as .keras; layers of your own cannot be read without their code",
        ) from None
    if not isinstance(model, keras.Model):
        raise Unsupported(f"This is a {type(model).__name__}, not a model", where=str(path))
    if not getattr(model, "inputs", None):
        raise Unsupported("The model was saved before its inputs were known", where=str(path), hint="build it first")
    return model


def _input_names(model: Any) -> list[str]:
    """What the user called the inputs; where there is no name, that of the input layer."""
    names = [
        value.name if not value.name.startswith("keras_tensor") else value._keras_history.operation.name
        for value in model.inputs
    ]
    return _unique(names)


def _output_names(model: Any) -> list[str]:
    """In the order in which Keras flattens its answer: the keys of a mapping, else the layers that it comes from."""
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    answer, count = model.output, len(model.outputs)
    if isinstance(answer, Mapping) and len(answer) == count:
        return sorted(answer)
    names = list(getattr(model, "output_names", []))
    return _unique(names) if len(names) == count else [f"output_{place}" for place in range(count)]


def _tensors(names: list[str], values: Any) -> tuple[Tensor, ...]:
    return tuple(
        runtime.tensor_of(name, str(value.dtype), value.shape) for name, value in zip(names, values, strict=True)
    )


def _unique(names: list[str]) -> list[str]:
    """Every name once: a layer that is used twice has two outputs of its name."""
    found: list[str] = []
    for name in names:
        found.append(name if name not in found else f"{name}_{len(found)}")
    return found


def open_model(job: Job) -> KerasModel:
    """Load the file. Raises ModelUnreadable, Unsupported."""
    assert job.path is not None
    return KerasModel(job.path)
