"""Inputs to try a model with: made from a seed by dtype and shape, or rows of the project's evaluation data."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.core.errors import ProjectInvalid, Unsupported
from cloudmodel.formats.model import Signature, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

BATCHES = (1, 3, 8)
OTHER_SIZES = (8, 16, 32, 64, 224, 1)
CEILINGS = (1000, 100, 2)
MAX_BYTES = 1 << 30
SEED = 20_240_229
COMMON_NAMES = ("inputs", "x", "X", "data", "features")


@dataclass(frozen=True)
class Guess:
    """How to make inputs: the size of every symbol but the batch, and the largest integer (exclusive)."""

    size: int
    ceiling: int


def guesses(signature: Signature) -> Iterator[Guess]:
    """Guesses from the most telling to the most careful: integers may be indices into a table of unknown length,
    symbols may have to be multiples of something."""
    batch = batch_symbol(signature)
    free = any(isinstance(size, str) and size != batch for tensor in signature.inputs for size in tensor.shape)
    integers = any(tensor.dtype.startswith(("int", "uint")) for tensor in signature.inputs)
    for size in OTHER_SIZES if free else OTHER_SIZES[:1]:
        for ceiling in CEILINGS if integers else CEILINGS[:1]:
            yield Guess(size, ceiling)


def batch_symbol(signature: Signature) -> str | None:
    """The symbol of the batch: the first dimension of the first input that leaves it open."""
    for tensor in signature.inputs:
        if tensor.shape and isinstance(tensor.shape[0], str):
            return tensor.shape[0]
    return None


def sizes(signature: Signature, batch: int, guess: Guess) -> dict[str, int]:
    """A size for every symbol of the inputs; the same symbol has the same size everywhere."""
    symbol = batch_symbol(signature)
    return {
        size: batch if size == symbol else guess.size
        for tensor in signature.inputs
        for size in tensor.shape
        if isinstance(size, str)
    }


def make(signature: Signature, batch: int, guess: Guess) -> Arrays:
    """Seeded inputs by name; the same arguments give the same arrays. Raises Unsupported for more than MAX_BYTES."""
    import numpy as np

    symbols = sizes(signature, batch, guess)
    shapes = {
        tensor.name: tuple(symbols[size] if isinstance(size, str) else size for size in tensor.shape)
        for tensor in signature.inputs
    }
    needed = sum(math.prod(shape) * 8 for shape in shapes.values())
    if needed > MAX_BYTES:
        raise Unsupported(
            f"One set of inputs of this model takes {needed >> 20:,} MiB; parity tries at most {MAX_BYTES >> 20:,}",
            where=", ".join(f"{name}{list(shape)}" for name, shape in shapes.items()),
            hint="check the shapes that the model declares",
        )
    random = np.random.default_rng((SEED, batch))
    return {tensor.name: _values(tensor, shapes[tensor.name], guess.ceiling, random) for tensor in signature.inputs}


def load(path: Path, signature: Signature) -> Arrays | None:
    """Rows for every input from an npz file, by the inputs' names (or a common one for a single input).

    None where the file is of another kind or has other names. Raises ProjectInvalid for a file that cannot be read
    or whose rows do not fit the model.
    """
    import numpy as np

    if path.suffix != ".npz":
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            keys = {tensor.name: tensor.name for tensor in signature.inputs}
            if len(keys) == 1 and not set(keys) <= set(data.files):
                common = [name for name in COMMON_NAMES if name in data.files]
                keys = dict.fromkeys(keys, common[0]) if common else keys
            if not set(keys.values()) <= set(data.files):
                return None
            arrays = {name: data[key] for name, key in keys.items()}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ProjectInvalid(f"The evaluation data cannot be read: {error}", where=str(path)) from None
    for tensor in signature.inputs:
        array = arrays[tensor.name]
        fits = array.ndim == len(tensor.shape) and len(array) > 0 and all(
            isinstance(wanted, str) or wanted == found
            for wanted, found in zip(tensor.shape[1:], array.shape[1:], strict=True)
        )  # fmt: skip
        if not fits:
            raise ProjectInvalid(
                f"Evaluation data {list(array.shape)} does not fit input {tensor.name!r} {list(tensor.shape)}",
                where=str(path),
            )
        if tensor.dtype == "str":
            arrays[tensor.name] = array.astype(object)
        elif np.can_cast(array.dtype, tensor.dtype, "same_kind"):
            arrays[tensor.name] = array.astype(tensor.dtype)
        else:
            raise ProjectInvalid(f"Evaluation data is {array.dtype}, the model takes {tensor.dtype}", where=str(path))
    return arrays


def places(counts: Mapping[str, int], signature: Signature) -> Arrays | None:
    """Places in lists of ids, of `counts` ids by input, the last one first: a list may be longer than the model's
    table. None where another input is no such place, one a row."""
    import numpy as np

    if {tensor.name for tensor in signature.inputs} != counts.keys():
        return None
    if any(not tensor.shape or set(tensor.shape[1:]) - {1} for tensor in signature.inputs):
        return None
    return {
        tensor.name: np.linspace(counts[tensor.name] - 1, 0, sum(BATCHES))
        .round()
        .astype(tensor.dtype)
        .reshape(-1, *tensor.shape[1:])
        for tensor in signature.inputs
    }


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Not by numpy's savez, whose own arguments (`file`, `allow_pickle`) are names that an input may have."""
    import numpy as np

    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def plain(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays as an npz can hold them: strings in numpy's fixed-width type."""
    import numpy as np

    return {name: array.astype(np.str_) if array.dtype == object else array for name, array in arrays.items()}


def read_npz(path: Path) -> Arrays:
    """Every array of an npz file by name; nothing in it is unpickled. Raises OSError, ValueError."""
    import numpy as np

    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def sizes_of(signature: Signature, request: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """The size that every symbol of the inputs has in a request."""
    return {
        symbol: size
        for tensor in signature.inputs
        for symbol, size in zip(tensor.shape, request[tensor.name].shape, strict=True)
        if isinstance(symbol, str)
    }


def rows(arrays: Mapping[str, NDArray[Any]], signature: Signature, batch: int, start: int) -> Arrays:
    """`batch` rows of each array (or as many as the model's fixed first dimension asks for), from row `start` on and
    around the end."""
    import numpy as np

    taken = {}
    for tensor in signature.inputs:
        count = tensor.shape[0] if isinstance(tensor.shape[0], int) else batch
        array = arrays[tensor.name]
        taken[tensor.name] = array[np.arange(start, start + count) % len(array)]
    return taken


def _values(tensor: Tensor, shape: tuple[int, ...], ceiling: int, random: Any) -> NDArray[Any]:
    import numpy as np

    if tensor.dtype == "str":
        words = np.array(["a", "word", "", "größer", "42"], dtype=object)
        return np.asarray(words[random.integers(0, len(words), shape)], dtype=object).reshape(shape)
    if tensor.dtype == "bool":
        return np.asarray(random.integers(0, 2, shape).astype(bool))
    if tensor.dtype.startswith("float"):
        return np.asarray(random.standard_normal(shape).astype(tensor.dtype))
    top = min(ceiling, int(np.iinfo(tensor.dtype).max))
    return np.asarray(random.integers(0, top, shape).astype(tensor.dtype))
