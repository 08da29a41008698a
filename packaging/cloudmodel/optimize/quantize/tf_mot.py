"""Quantization-aware training by TF-MOT, for models of Keras 2: the float model's own answers are learned again while
weights and activations are rounded to 8 bits, so that the ranges are the network's own and not only calibrated.

The exported graph has QuantizeLinear and DequantizeLinear around what was rounded. TF-MOT knows tf-keras alone, so a
file that Keras 3 wrote is refused. Needs the extra `tf-mot` and the Keras file.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
from pydantic import Field

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.formats.extras import missing
from cloudmodel.formats.original import Asked
from cloudmodel.optimize import data, inference, proof
from cloudmodel.optimize.fidelity import worst_cosines
from cloudmodel.optimize.quantize import checks
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

NEWEST_PYTHON = (3, 11)
"""TF-MOT 0.8.1 imports distutils, which Python 3.12 no longer has."""
RANGED = 256
"""Rows whose answers give the first ranges; TF-MOT begins at -6 to 6 and moves by a thousandth a step."""
ALIKE = 0.99
"""The cosine of any row's answers, ONNX against tf-keras: rounding may fall to the other side of a tie."""


class TfMotParameters(Parameters):
    """How it is trained: passes over the rows, rows a step, Adam's learning rate."""

    epochs: int = Field(3, ge=1, le=1000)
    batch: int = Field(32, ge=1, le=4096)
    learning_rate: float = Field(1e-4, gt=0, le=1)


class TfMot:
    """`quantize_model` of tensorflow-model-optimization, fitted by squared errors to the original's answers."""

    name: ClassVar[str] = "tf-mot"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = TfMotParameters

    def inapplicable(self, before: Artifact, material: Material, parameters: TfMotParameters) -> str | None:
        needed = "Keras 2 model: give model.source as the .h5 file that tf-keras saved"
        if reason := checks.no_keras_file(before, material, needed):
            return reason
        assert material.source is not None
        file = material.source.weights
        assert file is not None
        if sys.version_info[:2] > NEWEST_PYTHON:
            return "TF-MOT imports distutils, which this Python no longer has: run it with Python 3.11"
        if reason := missing("tf-mot"):
            return reason
        version = written_by(file)
        if not version.startswith("2."):
            return (
                f"TF-MOT takes models of tf-keras (Keras 2) only, and Keras {version} wrote {file.name}: use"
                " keras-quantize or static-int8, or save the model with tf_keras (pip install tf-keras) as .h5"
            )
        if material.calibration is None and material.train is None:
            return "there are no rows to train on; name them as optimize.train or optimize.calibrate"
        return None

    def apply(
        self, before: Artifact, material: Material, parameters: TfMotParameters, folder: Path, report: Report = silent
    ) -> Artifact:
        from cloudmodel.formats.export import IR_VERSION
        from cloudmodel.formats.tensorflow import keras2

        if reason := self.inapplicable(before, material, parameters):
            raise StepFailed(reason)
        assert material.source is not None
        assert material.source.weights is not None
        place = material.train or material.calibration
        assert place is not None
        rows = data.read_npz(place, material.signature)
        inputs = [rows.inputs[tensor.name] for tensor in material.signature.inputs]
        model = _trained(keras2.load(material.source.weights), inputs, parameters, material.seed, report)
        few = rows.take(range(min(RANGED, len(rows))))
        answers = [np.asarray(each) for each in _flat(model.predict_on_batch(_one(list(few.inputs.values()))))]
        named = {tensor.name: array for tensor, array in zip(material.signature.outputs, answers, strict=True)}
        asked = Asked(material.signature, [few.inputs], [named], ({},))
        try:
            path = next(iter(keras2.exporters(model, material.signature).values()))(asked, folder)
        except Exception as error:  # an exporter fails in every way there is
            raise StepFailed(f"tf2onnx: {' '.join(str(error).split())[:200]}") from None
        if onnx_files.census(path).quantized:
            from cloudmodel.optimize.quantize import grid

            grid.store(path)
        onnx_files.declare(path, material.signature, IR_VERSION)
        cosines = worst_cosines(named, inference.answers(path, few, material.signature))
        if min(cosines.values(), default=1.0) < ALIKE:
            raise StepFailed(f"The exported file answers otherwise than tf-keras: worst cosine {min(cosines.values())}")
        return Artifact(path)

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.quantized(before, after)


def written_by(file: Path) -> str:
    """The version of Keras that wrote a file, from its header; `of unknown version` where it does not say."""
    import h5py

    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        with h5py.File(file) as held:
            version = held.attrs["keras_version"]
    except (OSError, KeyError, ValueError):
        return "of unknown version"
    return version.decode() if isinstance(version, bytes) else str(version)


def _trained(model: Any, inputs: list[Any], parameters: TfMotParameters, seed: int, report: Report) -> Any:
    """The model with rounding in it. Raises StepFailed for layers that TF-MOT does not know."""
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    wanted = _flat(model.predict(_one(inputs), batch_size=parameters.batch, verbose=0))
    try:
        rounded = tfmot.quantization.keras.quantize_model(model)
    except (ValueError, RuntimeError, TypeError) as error:
        raise StepFailed(
            f"TF-MOT cannot quantize it: {' '.join(str(error).split())[:200]}", hint="use static-int8"
        ) from None
    for layer in rounded._flatten_layers():
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.trainable = False  # as it is served: by the statistics that it has, not by those of a batch
    _range(rounded, [array[:RANGED] for array in inputs])
    rounded.compile(optimizer=tf_keras.optimizers.Adam(parameters.learning_rate), loss="mse")
    told = tf_keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: report(
            Progress("tf-mot", epoch + 1, parameters.epochs, f"loss {logs['loss']:.4g}")
        )
    )
    rounded.fit(
        _one(inputs), _one(wanted), batch_size=parameters.batch, epochs=parameters.epochs, verbose=0, callbacks=[told]
    )
    return rounded


def _range(rounded: Any, inputs: list[Any]) -> None:
    """Let every range begin as what some rows reach."""
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    average: Callable[..., Any] = quant_ops.MovingAvgQuantize

    def at_once(*arguments: Any, **options: Any) -> Any:
        return average(*arguments, **{**options, "ema_decay": 0.0})

    with mock.patch.object(quant_ops, "MovingAvgQuantize", at_once):
        rounded(_one(inputs), training=True)


def _one(arrays: list[Any]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


def _flat(answer: Any) -> list[Any]:
    import tensorflow as tf

    return list(tf.nest.flatten(answer))
