"""The loaded ONNX model: an onnxruntime session with no more threads than this machine gives the container."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from . import preprocessing
from .errors import RequestRefused
from .machine import threads
from .tensors import NUMPY_NAME, Array, Spec, contradiction

MODEL_FILE = "model.onnx"


class Model:
    """A session and the form of its inputs and outputs. Safe to call from several threads at once."""

    def __init__(self, model_dir: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        known = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
        self._session = onnxruntime.InferenceSession(str(Path(model_dir) / MODEL_FILE), options, providers=providers)
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())
        self.preprocessing = preprocessing.load(model_dir)
        self.batches = False
        """Whether rows of several requests may be predicted together; `batching.prove` finds out."""

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name. Raises RequestRefused where onnxruntime says that the values are at fault."""
        try:
            results = self._session.run(None, dict(arrays))
        except Exception as error:
            if type(error).__name__ == "InvalidArgument":
                raise RequestRefused(f"the model refuses these values: {error}") from error
            if differing := contradiction(arrays, self.inputs):
                raise RequestRefused(f"the model cannot run on inputs of these sizes: {differing}") from error
            raise
        return dict(zip(self.outputs, results, strict=True))


def model_fn(model_dir: str) -> Model:
    """Load the model. Raises what onnxruntime raises."""
    return Model(model_dir)


def _spec(node: Any) -> Spec:
    if node.type not in NUMPY_NAME:
        raise ValueError(f"input {node.name!r} is a {node.type}, which is not served")
    shape = tuple(
        size if isinstance(size, int) else (size or f"{node.name}_{place}") for place, size in enumerate(node.shape)
    )
    return Spec(node.name, NUMPY_NAME[node.type], shape)
