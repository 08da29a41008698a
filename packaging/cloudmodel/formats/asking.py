"""Requests that a model answers, and its answers: from the project's own rows, else from the first guess that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudmodel.core.errors import ModelUnreadable, StepFailed, Unsupported
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import samples
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Asked, GivesRows, Original, Prepared
from cloudmodel.formats.signatures import observed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

ALONE = 3
"""Rows of a request that is the only one: of different lengths, where they are texts."""


def ask(
    original: Original, signature: Signature, *, data: Arrays | None = None, where: str, report: Report = silent
) -> Asked:
    """Ask on the three sizes of samples.BATCHES. `data` holds rows of real inputs by name.

    Raises ModelUnreadable where the model answers to no input tried, Unsupported for an answer of more than
    samples.MAX_BYTES.
    """
    if data is None and isinstance(original, GivesRows):
        data = original.rows(signature)
    failure: StepFailed | None = None
    usable = data is not None and all(tensor.shape for tensor in signature.inputs)
    own = original if isinstance(original, Prepared) else None
    for guess in [samples.Guess(1, 2)] if usable or own else samples.guesses(signature):
        requests: list[Arrays] = []
        answers: list[Arrays] = []
        try:
            start = 0
            for number, batch in enumerate(samples.BATCHES):
                report(Progress("load", number, len(samples.BATCHES), f"batch of {batch}"))
                if usable:
                    assert data is not None
                    requests.append(samples.rows(data, signature, batch, start))
                    start += batch
                elif own is not None:
                    requests.append(own.request(batch))
                else:
                    requests.append(samples.make(signature, batch, guess))
                answers.append(_bounded(original.answer(requests[-1]), where))
        except StepFailed as error:
            failure = error
            continue
        sizes = tuple(samples.sizes_of(signature, request) for request in requests)
        return Asked(observed(signature, answers, sizes), tuple(requests), tuple(answers), sizes)
    assert failure is not None
    raise ModelUnreadable(
        f"The model runs with none of the inputs tried: {failure.message[:500]}",
        where=where,
        hint="give real inputs as evaluate.data (npz), or fix its shapes with model.inputs",
    )


def unasked(original: Original, signature: Signature, data: Arrays | None) -> Asked:
    """One request, which nobody answered: to a model of which each answer reads all of a large file. Raises Unsupported
    where neither rows nor the model tell what to ask."""
    if data is not None:
        request: Arrays = samples.rows(data, signature, ALONE, 0)
    elif isinstance(original, Prepared):
        request = original.request(ALONE)
    else:
        raise Unsupported("Nothing tells what to ask this model", hint="give real inputs as evaluate.data (npz)")
    return Asked(signature, (request,), (), (samples.sizes_of(signature, request),))


def remembers(original: Original, asked: Asked) -> bool:
    """Whether the model answers the first request otherwise now, after the others: it keeps a state, or it is
    random."""
    import numpy as np

    again = original.answer(asked.requests[0])
    return not all(
        name in again and again[name].shape == array.shape and np.array_equal(again[name], array, equal_nan=_nan(array))
        for name, array in asked.answers[0].items()
    )


def _nan(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fc"


def _bounded(answer: Arrays, where: str) -> Arrays:
    held = sum(array.nbytes for array in answer.values())
    if held > samples.MAX_BYTES:
        raise Unsupported(
            f"One answer of this model takes {held >> 20:,} MiB; parity compares at most {samples.MAX_BYTES >> 20:,}",
            where=where,
            hint="check the shapes that the model declares",
        )
    return answer
