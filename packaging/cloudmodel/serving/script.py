"""A bundle's own `code/inference.py`, called as AWS's containers call it."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from cloudmodel.serving.service import JSON, Answer, Asked, failure, reason, refuse_route

UTF8_TYPES = (JSON, "text/csv")  # AWS's toolkit hands these to input_fn as str
MOST_TOGETHER = 32
ROUTES = {"/invocations": "POST"}

log = logging.getLogger(__name__)


class Script:
    """The four functions. Where the code has `predict_many_fn` and its model says that it batches, requests that
    wait together are predicted together."""

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = str(model_dir)
        self._accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        self._code: Any = None
        self._model: Any = None
        self.most = 1

    def load(self) -> None:
        """Import the code, load the model and run it once."""
        self._code = _import_code(Path(self._model_dir))
        self._model = self._code.model_fn(self._model_dir)
        warm_up = getattr(self._code, "model_warmup_fn", None)
        if warm_up is not None:
            warm_up(self._model_dir, self._model)
        if hasattr(self._code, "predict_many_fn") and getattr(self._model, "batches", False):
            self.most = MOST_TOGETHER

    def refuse(self, method: str, path: str) -> Answer | None:
        """Everything but POST /invocations."""
        return refuse_route(method, path, ROUTES)

    def answer(self, asked: Sequence[Asked]) -> Sequence[Answer]:
        """One after the other, or in one prediction."""
        if len(asked) == 1:
            return (self._one(asked[0]),)
        read = [self._read(each) for each in asked]
        sound = [each for each in read if not isinstance(each, Answer)]
        predictions = iter(self._together(sound))
        return [
            each if isinstance(each, Answer) else self._written(next(predictions), self._wanted(request))
            for each, request in zip(read, asked, strict=True)
        ]

    def _one(self, asked: Asked) -> Answer:
        try:
            code = self._code
            return self._write(code.predict_fn(self._input(asked), self._model), self._wanted(asked))
        except Exception as error:
            return _failed(error)

    def _together(self, requests: list[Any]) -> Sequence[Any]:
        try:
            answers: Sequence[Any] = self._code.predict_many_fn(requests, self._model)
            return answers
        except Exception as error:
            return [error] * len(requests)

    def _input(self, asked: Asked) -> Any:
        kind = asked.headers.get("content-type", JSON)
        return self._code.input_fn(asked.body.decode() if kind in UTF8_TYPES else asked.body, kind)

    def _read(self, asked: Asked) -> Any:
        try:
            return self._input(asked)
        except Exception as error:
            return _failed(error)

    def _written(self, prediction: Any, accept: str) -> Answer:
        if isinstance(prediction, Exception):
            return _failed(prediction)
        try:
            return self._write(prediction, accept)
        except Exception as error:
            return _failed(error)

    def _write(self, prediction: Any, accept: str) -> Answer:
        result = self._code.output_fn(prediction, accept)
        body, kind = result if isinstance(result, tuple) else (result, accept)
        return Answer(200, body.encode() if isinstance(body, str) else bytes(body), kind)

    def _wanted(self, asked: Asked) -> str:
        accept = asked.headers.get("accept", "")
        return self._accept if accept in ("", "*/*") else accept


def _failed(error: Exception) -> Answer:
    """400 and the like where the code says so; 500 and a line in the log for everything else."""
    if isinstance(error, UnicodeDecodeError):
        return failure(400, f"not UTF-8: {error}")
    status = getattr(error, "status_code", 500)
    if status < 500:
        return failure(status, f"{error}")
    log.error("prediction failed", exc_info=error)
    return failure(status, reason(error))


def _import_code(model_dir: Path) -> ModuleType:
    sys.dont_write_bytecode = True  # a bundle's folder stays as it was verified
    code = str(model_dir / "code")
    if code not in sys.path:
        sys.path.insert(0, code)
    return importlib.import_module(os.environ.get("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py"))
