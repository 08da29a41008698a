"""A signature made narrower by what the project says of it, or filled in from what the model answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats import samples
from cloudmodel.formats.model import Signature, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


def as_tensors(inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """The project's `model.inputs`, mappings or values with name, dtype and shape, as tensors."""
    return tuple(
        Tensor(name=item["name"], dtype=item["dtype"], shape=tuple(item["shape"]))
        if isinstance(item, Mapping)
        else Tensor(name=item.name, dtype=item.dtype, shape=tuple(item.shape))
        for item in inputs
    )


def narrow(signature: Signature, inputs: Sequence[Any]) -> Signature:
    """The signature with the sizes and symbols that the project names for its inputs. Raises ProjectInvalid where
    the project contradicts the model."""
    if not inputs:
        return signature
    wanted = {tensor.name: tensor for tensor in as_tensors(inputs)}
    own = {tensor.name for tensor in signature.inputs}
    if unknown := sorted(set(wanted) - own):
        raise ProjectInvalid(
            f"The model has no input {unknown[0]!r}", where="model.inputs", hint=f"it has: {', '.join(sorted(own))}"
        )
    return Signature(
        inputs=tuple(_narrow_one(tensor, wanted.get(tensor.name)) for tensor in signature.inputs),
        outputs=signature.outputs,
    )


def observed(signature: Signature, answers: Sequence[Arrays], sizes: Sequence[Mapping[str, int]]) -> Signature:
    """The signature itself where it names its outputs; else with the outputs of `answers`: a dimension that was as long
    as an open one of the inputs in every answer is that one, one that never changed is fixed."""
    if signature.outputs:
        return signature
    batch = samples.batch_symbol(signature)
    symbols = sorted({symbol for each in sizes for symbol in each}, key=lambda symbol: symbol != batch)
    outputs = []
    for name, first in answers[0].items():
        shape: list[int | str] = []
        for place in range(first.ndim):
            found = [answer[name].shape[place] for answer in answers]
            same = [symbol for symbol in symbols if found == [each[symbol] for each in sizes]]
            fixed: int | str = found[0] if len(set(found)) == 1 else f"{name}_{place}"
            shape.append(same[0] if same else fixed)
        dtype = "str" if first.dtype.kind in "OUS" else first.dtype.name
        outputs.append(Tensor(name=name, dtype=dtype, shape=tuple(shape)))
    return Signature(inputs=signature.inputs, outputs=tuple(outputs))


def _narrow_one(own: Tensor, wanted: Tensor | None) -> Tensor:
    if wanted is None:
        return own
    fits = (
        wanted.dtype == own.dtype
        and len(wanted.shape) == len(own.shape)
        and all(isinstance(have, str) or have == want for have, want in zip(own.shape, wanted.shape, strict=True))
    )
    if not fits:
        raise ProjectInvalid(
            f"Input {own.name!r} is {own.dtype}{list(own.shape)}, not {wanted.dtype}{list(wanted.shape)}",
            where="model.inputs",
            hint="name sizes only for dimensions that the model leaves open",
        )
    return wanted
