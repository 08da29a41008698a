"""The functions that AWS's containers and our own server call, with AWS's names and arguments.

model = model_fn(model_dir); model_warmup_fn(model_dir, model)
body, content_type = output_fn(predict_fn(input_fn(data, content_type), model), accept)
"""

from __future__ import annotations

from .answers import Prediction, encode
from .requests import Request, arrays, parse
from .session import Model, warm_up


def model_fn(model_dir: str) -> Model:
    """Load the model. Raises what onnxruntime raises."""
    return Model(model_dir)


def model_warmup_fn(model_dir: str, model: Model) -> None:
    """One run, so that the first client does not wait for onnxruntime's first allocations."""
    warm_up(model_dir, model)


def input_fn(data: bytes | bytearray | str, content_type: str | None) -> Request:
    """Read a request body; status 400 or 415 on the exception."""
    return parse(data, content_type)


def predict_fn(data: Request, model: Model) -> Prediction:
    """Bring the values into the model's form and run it; status 400 on the exception where they do not fit."""
    outputs = model.run(arrays(data, model.inputs))
    return Prediction(outputs, len(data.values) if data.form == "instances" else None)


def output_fn(prediction: Prediction, accept: str | None) -> tuple[bytes | str, str]:
    """The body and its content type; status 406 on the exception where none is acceptable."""
    return encode(prediction, accept)
