"""What an estimator takes: one table of numbers, texts, or columns by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cloudmodel.core.errors import ProjectInvalid, StepFailed
from cloudmodel.formats import samples
from cloudmodel.formats.model import Signature, Tensor

BATCH = "batch"
TABLE, TEXT = "features", "text"
COUNT = 16
ENDS = ("", ".", " -- isn't it?", "! ÄÖ É", " 42%", "  (it's) a_b\tX")
"""What stands behind the words of a text that is made up: tokenizers differ in signs, not in words."""


def signature(estimator: Any, given: Sequence[Tensor], where: str) -> Signature:
    """The project's inputs where it names them, else what the estimator remembers of its training.

    A single input `features` [batch, n] of float32, or `text` [batch] for a vectorizer; where columns are chosen by
    name, an input [batch] for each. Raises ProjectInvalid where the estimator remembers nothing.
    """
    if given:
        return Signature(inputs=tuple(given), outputs=())
    first = _first(estimator)
    if hasattr(first, "build_analyzer"):
        return Signature(inputs=(Tensor(name=TEXT, dtype="str", shape=(BATCH,)),), outputs=())
    if (named := _columns(first)) is not None:
        columns = tuple(Tensor(name=name, dtype=dtype, shape=(BATCH,)) for name, dtype in named.items())
        return Signature(inputs=columns, outputs=())
    count = getattr(estimator, "n_features_in_", None)
    if count is None:
        raise ProjectInvalid(
            f"{type(estimator).__name__} does not say how many features it takes",
            where="model.inputs",
            hint="inputs: [{name: features, dtype: float32, shape: [batch, 4]}]",
        )
    return Signature(inputs=(Tensor(name=TABLE, dtype="float32", shape=(BATCH, int(count))),), outputs=())


def widened(signature: Signature) -> Signature:
    """The same with float64 for float32."""
    inputs = [
        tensor.model_copy(update={"dtype": "float64"}) if tensor.dtype == "float32" else tensor
        for tensor in signature.inputs
    ]
    return signature.model_copy(update={"inputs": tuple(inputs)})


def table(request: Mapping[str, NDArray[Any]], signature: Signature) -> Any:
    """A request as the estimator takes it: the array itself, or a data frame of columns. Raises StepFailed."""
    if len(signature.inputs) == 1:
        return request[signature.inputs[0].name]
    try:
        import pandas
    except ImportError:
        raise StepFailed("columns by name need pandas: pip install pandas") from None
    return pandas.DataFrame({tensor.name: request[tensor.name].reshape(-1) for tensor in signature.inputs})


def rows(estimator: Any, signature: Signature) -> dict[str, NDArray[Any]] | None:
    """COUNT rows that a vectorizer or a table of columns was made for; None where the input is a table of numbers."""
    import numpy as np

    first = _first(estimator)
    random = np.random.default_rng(samples.SEED)
    if hasattr(first, "build_analyzer") and len(signature.inputs) == 1:
        words = sorted(getattr(first, "vocabulary_", ())) or ["some", "words"]
        texts = [
            " ".join(random.choice(words, size=int(random.integers(1, 12)))) + ENDS[place % len(ENDS)]
            for place in range(COUNT)
        ]
        shape = (COUNT, *(1 for _ in signature.inputs[0].shape[1:]))
        return {signature.inputs[0].name: np.array([*texts], dtype=object).reshape(shape)}
    seen = _categories(first)
    if not seen or len(signature.inputs) < 2:
        return None
    return {
        tensor.name: random.choice(seen[tensor.name], size=COUNT).astype(
            object if tensor.dtype == "str" else tensor.dtype
        )
        if tensor.name in seen
        else random.standard_normal(COUNT).astype(tensor.dtype)
        for tensor in signature.inputs
    }


def _first(estimator: Any) -> Any:
    """What a pipeline begins with; the parts of a union all take the same."""
    steps = getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None)
    return _first(steps[0][1]) if steps else estimator


def _columns(first: Any) -> dict[str, str] | None:
    """Name and dtype of the columns that a ColumnTransformer chooses by name; None where it chooses by place, or there
    is none."""
    names = getattr(first, "feature_names_in_", None)
    if names is None or not hasattr(first, "transformers_"):
        return None
    found = dict.fromkeys((str(name) for name in names), "float32")
    for name, categories in _categories(first).items():
        found[name] = "str" if categories.dtype.kind in "OU" else "float32"
    return found


def _categories(first: Any) -> dict[str, NDArray[Any]]:
    """The values that an encoder saw, by column."""
    found: dict[str, NDArray[Any]] = {}
    for _, transformer, columns in getattr(first, "transformers_", ()):
        wanted = [columns] if isinstance(columns, str) else list(columns)
        for column, categories in zip(wanted, getattr(_first(transformer), "categories_", ()), strict=False):
            if isinstance(column, str):
                found[column] = categories
    return found
