"""An ONNX file as `package` asks it: by onnxruntime, with its default options and one thread."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from cloudmodel.core.errors import ModelUnreadable, StepFailed
from cloudmodel.formats import onnx
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Exporter, Job

TIMEOUT = 900  # seconds for one answer
ERRORS = (state.Fail, state.InvalidArgument, state.RuntimeException, state.NotImplemented, ValueError)
"""What a session raises for inputs that it cannot compute with."""


class OnnxOriginal:
    """A session on the file; `signature` and `facts` are what the file says of itself."""

    def __init__(self, path: Path, signature: Signature, facts: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._path = path
        self.signature = signature
        self.facts = facts

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name. A model may loop without end: it is stopped after TIMEOUT seconds, and at once on
        Ctrl-C, which Python does not hear while onnxruntime holds the main thread.

        Raises StepFailed, ModelUnreadable after TIMEOUT seconds.
        """
        names = [output.name for output in self.signature.outputs]
        options = onnxruntime.RunOptions()
        with ThreadPoolExecutor(1, thread_name_prefix="original") as pool:
            running = pool.submit(self._session.run, names, dict(request), options)
            try:
                return dict(zip(names, running.result(TIMEOUT), strict=True))
            except TimeoutError:
                raise ModelUnreadable(
                    f"The model gave no answer in {TIMEOUT} s",
                    where=str(self._path),
                    hint="look for a loop that does not end",
                ) from None
            except ERRORS as error:
                raise StepFailed(" ".join(str(error).split()), where=str(self._path)) from None
            finally:
                options.terminate = True

    def exporters(self) -> Mapping[str, Exporter]:
        """None: it is ONNX."""
        return {}


def open_model(job: Job) -> OnnxOriginal:
    """Check the file and load it. Raises what `onnx.load` raises."""
    assert job.path is not None
    model = onnx.load(job.path, checked=job.checked)
    return OnnxOriginal(job.path, model.signature, model.facts)
