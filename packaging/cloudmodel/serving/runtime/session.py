"""The loaded model: an onnxruntime session with no more threads than this machine gives the container."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .errors import RequestRefused
from .tensors import NUMPY_NAME, Array, Spec, contradiction

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
THREADS_VARIABLE = "CLOUDMODEL_THREADS"
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


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


def threads() -> int:
    """CLOUDMODEL_THREADS, else the cores that this process may use, within the container's CPU quota."""
    chosen = os.environ.get(THREADS_VARIABLE, "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA_FILE.read_text().split()
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return cores


def warm_up(model_dir: str, model: Model) -> None:
    """Run the model once on zeros, in the sizes that the manifest proves to work, else with one for every symbol.

    Raises what the model raises for sizes that the manifest names; a guess that the model refuses is no failure.
    """
    sizes = _proven_sizes(model_dir)
    arrays = {}
    for spec in model.inputs:
        shape = [size if isinstance(size, int) else (sizes or {}).get(size, 1) for size in spec.shape]
        arrays[spec.name] = np.full(shape, "", object) if spec.dtype == "str" else np.zeros(shape, spec.dtype)
    try:
        model.run(arrays)
    except Exception:
        if sizes is not None:
            raise


def _proven_sizes(model_dir: str) -> dict[str, int] | None:
    try:
        sizes = json.loads((Path(model_dir) / MANIFEST_FILE).read_text())["metadata"]["sizes"]
        return {str(symbol): int(size) for symbol, size in sizes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _spec(node: Any) -> Spec:
    if node.type not in NUMPY_NAME:
        raise ValueError(f"input {node.name!r} is a {node.type}, which is not served")
    shape = tuple(
        size if isinstance(size, int) else (size or f"{node.name}_{place}") for place, size in enumerate(node.shape)
    )
    return Spec(node.name, NUMPY_NAME[node.type], shape)
