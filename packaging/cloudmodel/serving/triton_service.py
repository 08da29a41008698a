"""Triton Inference Server, emulated: a model repository's one model behind KServe's v2 routes and SageMaker's two.

The model runs in our own runtime (onnxruntime or torch) and not in Triton's backends, and our own queue joins requests;
what is emulated is the form of requests and answers. The configuration is not served (`/config`), nothing is loaded or
unloaded by request, and there is no gRPC.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cloudmodel.serving import kserve
from cloudmodel.serving.runtime.batching import run_together
from cloudmodel.serving.runtime.declared import Declared
from cloudmodel.serving.runtime.errors import RequestRefused
from cloudmodel.serving.runtime.warming import warm_up
from cloudmodel.serving.script import MOST_TOGETHER
from cloudmodel.serving.service import JSON, Answer, Asked, failure, reason

PLATFORMS = {"model.onnx": "onnxruntime_onnx", "model.pt": "pytorch_libtorch"}
EXTENSIONS = ["binary_tensor_data"]

log = logging.getLogger(__name__)


class Triton:
    """The model `name` of a repository."""

    def __init__(self, model_dir: Path, name: str, signature: Declared) -> None:
        self._folder = model_dir / name
        self._name = name
        self._signature = signature
        self._version = max((path.name for path in self._folder.iterdir() if path.name.isdigit()), key=int)
        self._file = next(name for name in PLATFORMS if (self._folder / self._version / name).exists())
        self._model: Any = None
        self.most = 1
        model = rf"/v2/models/{re.escape(name)}(?:/versions/{self._version})?"
        self._infers = re.compile(rf"/invocations|{model}/infer")
        self._tells = re.compile(rf"/v2|/v2/health/(?:live|ready)|{model}|{model}/ready")

    def load(self) -> None:
        """Load the highest version and run it once."""
        place = str(self._folder / self._version)
        if self._file == "model.pt":
            from cloudmodel.serving.runtime import pytorch

            self._model = pytorch.Model(place, self._signature)
        else:
            from cloudmodel.serving.runtime import session

            self._model = session.Model(place)
        warm_up(str(self._folder.parent), self._model)
        if self._model.batches:
            self.most = MOST_TOGETHER

    def refuse(self, method: str, path: str) -> Answer | None:
        """404 for what is no route, 405 for another method."""
        wanted = "POST" if self._infers.fullmatch(path) else "GET" if self._tells.fullmatch(path) else None
        if wanted is None and path != "/ping":
            return failure(404, f"this server answers for the model {self._name!r}, version {self._version}")
        return None if method == wanted else failure(405, f"{path} does not answer {method}")

    def answer(self, asked: Sequence[Asked]) -> Sequence[Answer]:
        """Inferences in one prediction where they may be."""
        read = [self._told(each) if each.method == "GET" else self._read(each) for each in asked]
        sound = [each.inputs for each in read if isinstance(each, kserve.Inference)]
        outcomes = iter(run_together(sound, self._model))
        return [
            self._written(each, next(outcomes), request) if isinstance(each, kserve.Inference) else each
            for each, request in zip(read, asked, strict=True)
        ]

    def _read(self, asked: Asked) -> kserve.Inference | Answer:
        try:
            return kserve.read(asked.body, kserve.header_length(asked.headers), self._model.inputs)
        except Exception as error:
            return _failed(error)

    def _written(self, inference: kserve.Inference, outcome: Any, asked: Asked) -> Answer:
        if isinstance(outcome, Exception):
            return _failed(outcome)
        try:
            body, length = kserve.write(inference, outcome, self._name, self._version)
        except Exception as error:
            return _failed(error)
        if length is None:
            return Answer(200, body, JSON)
        if asked.path == "/invocations":
            return Answer(200, body, f"{kserve.SAGEMAKER_BINARY}{length}")
        return Answer(200, body, kserve.BINARY, ((kserve.LENGTH_HEADER, str(length)),))

    def _told(self, asked: Asked) -> Answer:
        if asked.path.endswith(("/ready", "/live")):
            return Answer(200, b"")
        if asked.path == "/v2":
            return _json({"name": "cloudmodel", "version": version("cloudmodel"), "extensions": EXTENSIONS})
        inputs, outputs = self._signature
        return _json(kserve.metadata(self._name, [self._version], PLATFORMS[self._file], inputs, outputs))


def _json(document: Any) -> Answer:
    return Answer(200, json.dumps(document).encode())


def _failed(error: Exception) -> Answer:
    if isinstance(error, RequestRefused):
        return failure(error.status_code, str(error))
    log.error("prediction failed", exc_info=error)
    return failure(500, reason(error))
