"""Models of Keras 2, opened with tf-keras, for the libraries that know no other Keras; in a confined child only.

Not a format of its own: `package` reads the same files with Keras 3. The scan has refused code in them before.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

from cloudmodel.core.errors import ModelUnreadable
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Exporter
from cloudmodel.formats.tensorflow import runtime, to_onnx
from cloudmodel.formats.tensorflow.saved import SERVING

import tensorflow as tf  # isort: skip  # after the settings of `runtime`
import tf_keras  # isort: skip


def load(path: Path) -> Any:
    """The model, not compiled. Raises ModelUnreadable."""
    try:
        # tf-keras goes by the file's name
        named = Path.cwd() / f"model{'.keras' if zipfile.is_zipfile(path) else '.h5'}"
        named.unlink(missing_ok=True)
        named.symlink_to(path.resolve())
        return tf_keras.models.load_model(str(named), compile=False)
    except Exception as error:  # a file can fail in every layer's own way
        raise ModelUnreadable(f"tf-keras {tf_keras.__version__}: {runtime.line(error)}", where=str(path)) from None


def exporters(model: Any, signature: Signature) -> Mapping[str, Exporter]:
    """A SavedModel with the signature's names, and tf2onnx on that; names go by place, as Keras orders them."""
    specs = [
        tf.TensorSpec(value.shape, value.dtype, name=tensor.name)
        for tensor, value in zip(signature.inputs, model.inputs, strict=True)
    ]

    def save(folder: Path) -> Path:
        if not folder.exists():
            module = tf.Module()
            module.model = model
            module.serve = tf.function(lambda *values: named(values), input_signature=specs)
            tf.saved_model.save(module, str(folder), signatures={SERVING: module.serve})
        return folder

    def named(values: Sequence[Any]) -> dict[str, Any]:
        found = tf.nest.flatten(model(list(values) if len(values) > 1 else values[0], training=False))
        return {tensor.name: value for tensor, value in zip(signature.outputs, found, strict=True)}

    return to_onnx.exporters(save, SERVING)
