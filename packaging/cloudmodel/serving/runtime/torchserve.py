"""TorchServe's side of the serving code: `handler.py` of the model archive calls it.

TorchServe hands over a batch of requests; JSON it has read already (unless TS_DECODE_INPUT_REQUEST is false).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import RequestRefused
from .handlers import input_fn, model_warmup_fn, output_fn, predict_many_fn

Answers = Sequence[Any]


class Handler:
    """One worker's model."""

    def __init__(self, model_fn: Callable[[str], Any]) -> None:
        self._model_fn = model_fn
        self._model: Any = None

    def handle(self, data: Sequence[dict[str, Any]] | None, context: Any) -> list[Any] | None:
        """One body for each request, with its own status and content type; the first call, without data, loads."""
        if self._model is None:
            model_dir = context.system_properties["model_dir"]
            self._model = self._model_fn(model_dir)
            model_warmup_fn(model_dir, self._model)
        if data is None:
            return None
        headers = [_lower(context.get_all_request_header(place)) for place in range(len(data))]
        read = [
            _attempt(input_fn, _body(row), kind.get("content-type")) for row, kind in zip(data, headers, strict=True)
        ]
        sound = [each for each in read if not isinstance(each, Exception)]
        predictions = iter(self._predict(sound))
        answers = []
        for place, each in enumerate(read):
            found = each if isinstance(each, Exception) else next(predictions)
            if not isinstance(found, Exception):
                found = _attempt(output_fn, found, headers[place].get("accept") or None)
            answers.append(_answer(found, context, place))
        return answers

    def _predict(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Together only where rows are independent, as everywhere."""
        if getattr(self._model, "batches", False):
            return predict_many_fn(requests, self._model)
        return [answer for request in requests for answer in predict_many_fn([request], self._model)]


def _answer(found: Any, context: Any, place: int) -> Any:
    if isinstance(found, Exception):
        status = found.status_code if isinstance(found, RequestRefused) else 500
        context.set_response_status(code=status, phrase="", idx=place)
        context.set_response_content_type(place, "application/json")
        return {"error": " ".join(str(found).split())}
    body, kind = found
    context.set_response_content_type(place, kind)
    return body


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return error


def _body(row: dict[str, Any]) -> Any:
    body = row.get("body")
    return row.get("data", b"") if body is None else body


def _lower(headers: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
