"""The loaded scikit-learn model: `model.joblib`, asked by the method that each output's name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from . import declared
from .errors import RequestRefused
from .tensors import Array

MODEL_FILE = "model.joblib"
METHODS = {
    "label": "predict",
    "value": "predict",
    "probabilities": "predict_proba",
    "scores": "decision_function",
    "transformed": "transform",
}
"""By output. An output of another name is a prediction."""


class Model:
    """Safe to call from several threads at once. One input of two dimensions is the table of features; inputs with a
    value a row are its columns, by name."""

    def __init__(self, model_dir: str) -> None:
        self._estimator = joblib.load(Path(model_dir) / MODEL_FILE)
        self.inputs, self._outputs = declared.read(model_dir)
        self.outputs = tuple(spec.name for spec in self._outputs)
        self.batches = False

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, in the dtypes of the signature. Raises RequestRefused for values that scikit-learn
        refuses (NaN, a word for a category that the model never saw)."""
        table = self._table(arrays)
        found = {}
        for spec in self._outputs:
            try:
                answer = getattr(self._estimator, METHODS.get(spec.name, "predict"))(table)
            except ValueError as error:
                raise RequestRefused(f"the model refuses these values: {error}") from error
            array = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
            found[spec.name] = array.astype(object if spec.dtype == "str" else spec.dtype)
        return found

    def _table(self, arrays: Mapping[str, Array]) -> Any:
        (first, *others) = self.inputs
        if not others:
            return arrays[first.name]
        import pandas

        return pandas.DataFrame({spec.name: arrays[spec.name].reshape(-1) for spec in self.inputs})


def model_fn(model_dir: str) -> Model:
    """Load the model. Raises what joblib and scikit-learn raise."""
    return Model(model_dir)
