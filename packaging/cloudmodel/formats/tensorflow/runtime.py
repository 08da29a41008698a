"""TensorFlow, imported once with one thread that answers the same on every run; in a confined child only."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its kernels sum in an order that differs between processors
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cloudmodel.core.errors import StepFailed, Unsupported
from cloudmodel.formats.model import Tensor

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

ERRORS = (tf.errors.OpError, ValueError, TypeError, IndexError, KeyError, AttributeError)
"""What TensorFlow raises for inputs that it cannot compute with."""
BATCH = "batch"
SERVED = {"bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
          "uint64"}  # fmt: skip


def tensor_of(name: str, dtype: str, shape: Any) -> Tensor:
    """An input or output as a signature writes it: an open first dimension is the batch, another one gets a word of its
    own.

    Raises Unsupported for a dtype that has no numpy name, or a rank that is not known.
    """
    if dtype != "string" and dtype not in SERVED:
        raise Unsupported(f"{name!r} is {dtype}, which is not served", hint="cast it inside the model")
    if shape is None:
        raise Unsupported(f"{name!r} has no known rank", hint="save the model with an input signature")
    sizes = tuple(
        size if size is not None else BATCH if place == 0 else f"{name}_{place}" for place, size in enumerate(shape)
    )
    return Tensor(name=name, dtype="str" if dtype == "string" else dtype, shape=sizes)


def to_tensor(array: NDArray[Any]) -> Any:
    """An array as TensorFlow's own; strings are UTF-8 there."""
    return tf.constant(array.astype(object) if array.dtype.kind in "OU" else array)


def to_array(name: str, value: Any) -> NDArray[Any]:
    """An output as numpy's. Raises StepFailed for what is no dense tensor."""
    if not tf.is_tensor(value) or not hasattr(value, "numpy"):
        raise StepFailed(f"Output {name!r} is a {type(value).__name__}, not a tensor", hint="densify it in the model")
    array = value.numpy()
    if value.dtype == tf.string:
        text = [each.decode("utf-8", "replace") for each in np.asarray(array, dtype=object).flat]
        return np.array(text, dtype=object).reshape(np.shape(array))
    return np.asarray(array)


def line(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
