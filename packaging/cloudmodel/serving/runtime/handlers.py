"""The functions that AWS's containers and our own server call, with AWS's names and arguments.

model = model_fn(model_dir); model_warmup_fn(model_dir, model)
body, content_type = output_fn(predict_fn(input_fn(data, content_type), model), accept)

`model_fn` is the runtime's own (`session`, `pytorch`, `estimator`, `transformer`). `predict_many_fn` is ours alone:
our server calls it with the requests that wait together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .answers import Prediction, encode
from .batching import run_together
from .preprocessing import arrays, finished, prepares
from .requests import Request, parse
from .tensors import Array
from .warming import warm_up


def model_warmup_fn(model_dir: str, model: Any) -> None:
    """One run, so that the first client does not wait for the runtime's first allocations."""
    warm_up(model_dir, model)


def input_fn(data: bytes | bytearray | str, content_type: str | None) -> Request:
    """Read a request body; status 400 or 415 on the exception."""
    return parse(data, content_type)


def predict_fn(data: Request, model: Any) -> Prediction:
    """Bring the values into the model's form and run it; status 400 on the exception where they do not fit."""
    answer = model.write if getattr(model, "writes", False) and prepares(data, model) else model.run
    return _prediction(data, answer(arrays(data, model)), model)


def predict_many_fn(requests: Sequence[Request], model: Any) -> list[Prediction | Exception]:
    """As many predictions, made together where their rows have the same form; what a request raises in its place."""
    results: list[Any] = [_arrays(request, model) for request in requests]
    sound = [place for place, result in enumerate(results) if not isinstance(result, Exception)]
    for place, outcome in zip(sound, run_together([results[place] for place in sound], model), strict=True):
        results[place] = outcome if isinstance(outcome, Exception) else _prediction(requests[place], outcome, model)
    return results


def output_fn(prediction: Prediction, accept: str | None) -> tuple[bytes | str, str]:
    """The body and its content type; status 406 on the exception where none is acceptable."""
    return encode(prediction, accept)


def body_fn(prediction: Prediction, accept: str | None) -> bytes | str:
    """`output_fn` for a container that takes the body alone and sends `accept` as its content type."""
    return encode(prediction, accept)[0]


def _prediction(request: Request, outputs: Mapping[str, Array], model: Any) -> Prediction:
    rows = len(request.values) if request.form == "instances" else 1 if request.form == "image" else None
    return Prediction(finished(request, outputs, model), rows)


def _arrays(request: Request, model: Any) -> dict[str, Array] | Exception:
    try:
        return arrays(request, model)
    except Exception as error:
        return error
