"""A container that runs no code of ours: how a request for it is written, who answers in its place, how an answer is
read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

CONTENT_TYPE = "application/json"


@dataclass(frozen=True)
class Foreign:
    """`body` writes a request as the container takes it, in JSON. `function` (of `core.confined`) with `job`, and in it
    a bundle's folder and a number, reads so many `request-N.json` and writes `answer-N.json`."""

    body: Callable[[Arrays], bytes]
    function: str
    job: Mapping[str, Any]


def read(body: bytes, expected: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays of an answer of Triton (KServe v2, without binary tensors) or TensorFlow Serving (columns), in the
    dtypes of `expected`. Raises ValueError for anything else."""
    import numpy as np

    try:
        outputs = json.loads(body)["outputs"]
        if isinstance(outputs, list) and all(isinstance(each, dict) and "datatype" in each for each in outputs):
            named = {each["name"]: (each["data"], each["shape"]) for each in outputs}
        elif isinstance(outputs, dict):
            named = {name: (data, None) for name, data in outputs.items()}
        else:
            (only,) = expected
            named = {only: (outputs, None)}
        found = {}
        for name, (data, shape) in named.items():
            dtype = expected[name].dtype if name in expected else None
            array = np.asarray(data, dtype=np.str_ if dtype is not None and dtype.kind in "OU" else dtype)
            found[name] = array if shape is None else array.reshape(shape)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not an answer in columns or by KServe's protocol: {error}") from error
    return found
