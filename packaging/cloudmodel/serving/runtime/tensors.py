"""From what a client sent to the arrays that the model takes; every conversion keeps the value or refuses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import RequestRefused

Array = NDArray[Any]

NUMPY_NAME = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}
TRUE = {"true", "1"}
FALSE = {"false", "0"}


class Spec(NamedTuple):
    """A named input: numpy's name of its dtype (`str` for strings) and its shape; a symbol is any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"

    @property
    def row_size(self) -> int:
        """How many values one row has, -1 where a symbol leaves that open."""
        size = 1
        for dimension in self.shape[1:]:
            if isinstance(dimension, str):
                return -1
            size *= dimension
        return size


def to_array(value: Any, spec: Spec) -> Array:
    """Nested lists or an array as the dtype of `spec`, in its shape. Raises RequestRefused."""
    array = _strings(value, spec) if spec.dtype == "str" else _numbers(value, spec)
    _check_shape(array, spec)
    return array


def contradiction(arrays: Mapping[str, Array], specs: Sequence[Spec]) -> str | None:
    """Where a symbol has two sizes, or None. It explains a failure and forbids nothing: exporters also give one name
    to sizes that may differ."""
    sizes: dict[str, tuple[str, int]] = {}
    for spec in specs:
        for symbol, size in zip(spec.shape, arrays[spec.name].shape, strict=True):
            name, known = sizes.setdefault(str(symbol), (spec.name, size))
            if size != known:
                return f"{symbol} is {known} in input {name!r} and {size} in {spec.name!r}"
    return None


def parse_cells(rows: list[list[str]], spec: Spec) -> Array:
    """The cells of a table (one row of the input each) in the dtype and shape of `spec`. Raises RequestRefused."""
    flat: Any
    if spec.dtype == "str":
        flat = np.array(rows, dtype=object)
    elif spec.dtype == "bool":
        words = [[cell.strip().lower() for cell in row] for row in rows]
        for row in words:
            for word in row:
                if word not in TRUE and word not in FALSE:
                    raise RequestRefused(f"{word!r} is not a boolean; the model takes {spec}")
        flat = np.array([[word in TRUE for word in row] for row in words], dtype=bool)
    else:
        number: Any = float if spec.dtype.startswith("float") else int
        try:
            flat = [[number(cell) for cell in row] for row in rows]
        except ValueError as error:
            raise RequestRefused(f"{error}; the model takes {spec}") from None
        flat = _numbers(flat, spec)
    sizes = [dimension for dimension in spec.shape[1:] if isinstance(dimension, int)]
    shape = (len(rows), *sizes) if len(sizes) == len(spec.shape) - 1 else (len(rows), flat.shape[1])
    return to_array(flat.reshape(shape[: len(spec.shape)]), spec)


def _strings(value: Any, spec: Spec) -> Array:
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value.astype(object)
    array = np.array(value, dtype=object)
    if not all(isinstance(item, str) for item in array.flat):
        raise RequestRefused(f"input {spec.name!r} must hold strings in equally long lists; the model takes {spec}")
    try:
        "".join(array.flat).encode()
    except UnicodeEncodeError:  # JSON can name half of a surrogate pair
        raise RequestRefused(f"input {spec.name!r} holds text that is not Unicode; the model takes {spec}") from None
    return array


def _numbers(value: Any, spec: Spec) -> Array:
    wanted = np.dtype(spec.dtype)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise RequestRefused(f"input {spec.name!r} has lists of different lengths; the model takes {spec}") from None
    if array.dtype == wanted:
        return array
    if array.size == 0:
        return array.astype(wanted)
    kind = array.dtype.kind
    if wanted.kind == "f" and kind in "iuf":
        try:
            with np.errstate(over="raise"):
                return array.astype(wanted)
        except FloatingPointError:
            raise RequestRefused(f"input {spec.name!r} has a number too large for {wanted}") from None
    if wanted.kind in "iu" and kind in "iufO":
        return _integers(array, value, wanted, spec)
    found = {"U": "strings", "b": "booleans", "O": "null or mixed values", "f": "floats"}.get(kind, str(array.dtype))
    raise RequestRefused(f"input {spec.name!r} holds {found}; the model takes {spec}")


def _integers(array: Array, value: Any, wanted: np.dtype[Any], spec: Spec) -> Array:
    if array.dtype.kind in "fO" and not isinstance(value, np.ndarray):
        exact = np.array(value, dtype=object)  # numpy makes floats of integers that need more than 63 bits
        if all(type(item) is int for item in exact.flat):
            array = exact
        elif array.dtype.kind == "O":
            raise RequestRefused(f"input {spec.name!r} holds null or mixed values; the model takes {spec}")
    if array.dtype.kind == "f":
        if not np.all(np.isfinite(array)) or np.any(array != np.trunc(array)):
            raise RequestRefused(f"input {spec.name!r} holds numbers that are not whole; the model takes {spec}")
        if np.any(np.abs(array) >= 2**53):
            raise RequestRefused(f"input {spec.name!r} holds a float that names no exact integer")
    bounds = np.iinfo(wanted)
    if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
        raise RequestRefused(f"input {spec.name!r} holds a number outside {wanted} ({bounds.min} to {bounds.max})")
    return array.astype(wanted)


def _check_shape(array: Array, spec: Spec) -> None:
    fits = array.ndim == len(spec.shape) and all(
        isinstance(wanted, str) or wanted == found for wanted, found in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise RequestRefused(f"input {spec.name!r} has shape {list(array.shape)}; the model takes {spec}")
