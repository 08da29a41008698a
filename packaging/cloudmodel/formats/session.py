"""An onnxruntime session with one thread: its answers are the same on every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cloudmodel.core.errors import StepFailed


def open_session(model: Path, *, threads: int = 1, optimize: bool = True) -> Any:
    """A session as the serving code opens it, without spinning threads: two that spin steal from each other.

    Raises StepFailed where onnxruntime cannot load the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise StepFailed(
            f"onnxruntime cannot load it: {' '.join(str(error).split())[:300]}", where=str(model)
        ) from None
