"""joblib's arrays, which stand between two opcodes as raw bytes: how many there are.

Source: joblib's numpy_pickle.py (`NumpyArrayWrapper`, 0.10 and later).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from cloudmodel.formats.scanning.pickle_values import Call, Global, Items

WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
DTYPE = re.compile(r"[<>=|]?([biufcmMSUV])(\d{1,6})")
MAX_BYTES = 1 << 44


@dataclass(frozen=True)
class Array:
    """`size` bytes of plain numbers, or a pickle where `objects`; `aligned` ones follow a padding."""

    size: int
    objects: bool
    aligned: bool

    @classmethod
    def of(cls, state: Any) -> Array | None:
        """What the state of a wrapper says; None where that is not written plainly in the file."""
        if not isinstance(state, Items) or not state.whole:
            return None
        shape = state.get("shape")
        width = _width(state.get("dtype"))
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape) or width is None:
            return None
        size = math.prod(shape) * abs(width)
        if size > MAX_BYTES:
            return None
        return cls(size, objects=width < 0, aligned=state.get("numpy_array_alignment_bytes") is not None)


def is_wrapper(target: Call) -> bool:
    """Whether the object is one of joblib's arrays, whatever builds it."""
    arguments = target.arguments if isinstance(target.arguments, tuple) else ()
    return target.callee == WRAPPER or WRAPPER in arguments[:1]


def _width(dtype: Any) -> int | None:
    """Bytes of one element; -1 for Python objects, also inside a structure; None where it cannot be told."""
    if not isinstance(dtype, Call) or str(dtype.callee) != "numpy.dtype" or not isinstance(dtype.arguments, tuple):
        return None
    name = dtype.arguments[0] if dtype.arguments else None
    if not isinstance(name, str):
        return None
    if name.lstrip("<>=|").startswith("O"):
        return -1
    plain = DTYPE.fullmatch(name)
    if plain is None:
        return None
    kind, size = plain.group(1), int(plain.group(2))
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    if kind == "V":
        return _structure(size, state)
    return size * 4 if kind == "U" else size


def _structure(size: int, state: tuple[Any, ...]) -> int | None:
    fields = state[4] if len(state) > 4 else None
    base = state[2] if len(state) > 2 else None
    if base is not None:
        return None  # an array inside an element: no model that is known has one
    if fields is None:
        return size
    if not isinstance(fields, Items) or not fields.whole:
        return None
    widths = [_width(value[0]) if isinstance(value, tuple) and value else None for _, value in fields.kept]
    if not widths or None in widths:
        return None
    return -1 if -1 in widths else size
