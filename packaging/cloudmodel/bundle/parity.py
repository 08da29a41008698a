"""Same inputs to the original model and to the bundle's own serving code, answers compared.

The serving code runs as a container would run it: in a process of its own, from the bundle's folder, where cloudmodel
cannot be imported; it loads the model, so that process is confined. The original's answers were recorded by its own
runtime (`formats.opening`). Both use one thread, so that the errors found, which the manifest records, are the same on
every run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.bundle import foreign, golden
from cloudmodel.bundle.foreign import Foreign
from cloudmodel.bundle.manifest import Golden, Parity
from cloudmodel.core import confined
from cloudmodel.core.errors import CloudmodelError, GateNotMet
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import samples
from cloudmodel.formats.original import Asked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""An answer passes where |difference| <= ABSOLUTE + RELATIVE * |original|: the noise of another order of sums."""
EXPORT_ABSOLUTE, EXPORT_RELATIVE = 1e-4, 1e-3
"""For a model that was exported; the first is a part of its largest answer (`formats.export` compares alike)."""
HALF = 2e-2
"""Both for a model of 16-bit numbers that an endpoint may compute on another processor."""
TIMEOUT = 900  # seconds for loading and all samples

SERVED = "cloudmodel.bundle.served:run"


def prove(
    asked: Asked,
    bundle: Path,
    *,
    exported: bool = False,
    where: str,
    container: Foreign | None = None,
    large: int = 0,
    report: Report = silent,
) -> tuple[Parity, Golden | None]:
    """Compare the answers recorded of the original with those of the bundle in the folder `bundle`; returns what was
    found, and the sample that was kept in it. Where the model was `exported` from another format, the difference may
    be larger, by the size of the answers. A bundle without our code is asked by way of `container`. `large` are the
    bytes of weights that are too many to copy into memory.

    Raises GateNotMet where the answers differ or the serving code fails.
    """
    absolute, relative = tolerance(asked) if exported else (ABSOLUTE, RELATIVE)
    report(Progress("parity", 0, len(asked.requests)))
    with tempfile.TemporaryDirectory(prefix="cloudmodel-parity-") as work:
        answers = _served(bundle, Path(work), asked, container, large)
    report(Progress("parity", len(asked.requests), len(asked.requests)))
    batch = samples.batch_symbol(asked.signature)
    count = sum(sizes[batch] for sizes in asked.sizes) if batch else len(asked.requests)
    found = compare(asked.answers, answers, count, absolute=absolute, relative=relative)
    if not found.passed:
        raise GateNotMet(
            f"The bundle answers differently from the original (largest error {found.max_abs_error:.3g}, "
            f"agreement {found.agreement:.3f})",
            where=where,
            hint="look at model.inputs and at the export (random operators need a seed); such a bundle is never kept",
            details={"parity": found.model_dump()},
        )
    kept = golden.keep(
        bundle, asked.requests[0], asked.answers[0], absolute=absolute, relative=relative, asked=container
    )
    return found, kept


def tried(
    asked: Asked, bundle: Path, *, large: int, half: bool, where: str, report: Report = silent
) -> tuple[Parity, Golden | None]:
    """A bundle whose `large` bytes of weights are the model's own files: its code answers the one request, and that is
    the sample which is kept. Nothing is compared, for another process would read all the weights to say the same.

    Raises GateNotMet where the code fails, or answers with another form than the signature's or with NaN.
    """
    import numpy as np

    report(Progress("parity", 0, 1))
    with tempfile.TemporaryDirectory(prefix="cloudmodel-parity-") as work:
        (answer,) = _served(bundle, Path(work), asked, None, large)
    report(Progress("parity", 1, 1))
    for tensor in asked.signature.outputs:
        array = answer.get(tensor.name)
        fits = array is not None and str(array.dtype) == tensor.dtype and array.ndim == len(tensor.shape) and all(
            isinstance(size, str) or size == found for size, found in zip(tensor.shape, array.shape, strict=True)
        )  # fmt: skip
        if array is None or not fits or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise GateNotMet(
                f"The bundle answers without {tensor.name} {tensor.dtype}{list(tensor.shape)} of finite numbers",
                where=where,
                hint="look at the weights: the model's own library answers so",
            )
    absolute, relative = (HALF, HALF) if half else (EXPORT_ABSOLUTE, EXPORT_RELATIVE)
    kept = golden.keep(
        bundle, asked.requests[0], answer, absolute=absolute * _largest([answer]), relative=relative, asked=None
    )
    return Parity(samples=0, max_abs_error=0.0, max_rel_error=0.0, agreement=1.0, passed=True), kept


def tolerance(asked: Asked) -> tuple[float, float]:
    """What an exported model's answers may differ by, absolute and relative: another runtime sums in another order, and
    by more where the numbers are larger."""
    return EXPORT_ABSOLUTE * _largest(asked.answers), EXPORT_RELATIVE


def _largest(answers: Sequence[Arrays]) -> float:
    import numpy as np

    largest = 0.0
    for answer in answers:
        for array in answer.values():
            if array.dtype.kind == "f":
                largest = max(largest, float(np.abs(array[np.isfinite(array)]).max(initial=0.0)))
    return largest or 1.0


def compare(
    expected: Sequence[Arrays],
    answers: Sequence[Arrays],
    count: int,
    *,
    absolute: float = ABSOLUTE,
    relative: float = RELATIVE,
) -> Parity:
    """The worst errors over all outputs of all answers; NaN equals NaN, infinity itself."""
    import numpy as np

    worst_absolute = worst_relative = 0.0
    agreeing = compared = 0
    passed = True
    for original, answer in zip(expected, answers, strict=True):
        for name, left in original.items():
            right = answer.get(name)
            if right is None or right.shape != left.shape or right.dtype.kind != _kind(left):
                return Parity(samples=count, max_abs_error=_HUGE, max_rel_error=_HUGE, agreement=0.0, passed=False)
            if left.dtype.kind != "f":
                equal = int(np.sum(left == right))
                agreeing, compared = agreeing + equal, compared + left.size
                passed = passed and equal == left.size
                continue
            left, right = left.astype(np.float64), right.astype(np.float64)  # noqa: PLW2901
            same = (left == right) | (np.isnan(left) & np.isnan(right))
            with np.errstate(invalid="ignore"):
                gap = np.where(same, 0.0, np.abs(left - right))
            gap = np.nan_to_num(gap, nan=_HUGE, posinf=_HUGE)
            size = np.where(same | ~np.isfinite(left), 1.0, np.abs(left))
            worst_absolute = max(worst_absolute, float(gap.max(initial=0.0)))
            worst_relative = max(worst_relative, float((gap / np.maximum(size, 1e-6)).max(initial=0.0)))
            passed = passed and bool(np.all(gap <= absolute + relative * size))
            if left.ndim >= 2 and left.shape[-1] >= 2 and left.size:
                tops = left.argmax(-1) == right.argmax(-1)
                agreeing, compared = agreeing + int(tops.sum()), compared + tops.size
    return Parity(
        samples=count,
        max_abs_error=worst_absolute,
        max_rel_error=min(worst_relative, _HUGE),
        agreement=agreeing / compared if compared else float(passed),
        passed=passed,
    )


_HUGE = 1e300  # stands for "not comparable"; JSON has no infinity


def _kind(array: NDArray[Any]) -> str:
    """The kind that an npz brings back: strings come as numpy's fixed-width type."""
    return "U" if array.dtype.kind == "O" else array.dtype.kind


def _served(bundle: Path, work: Path, asked: Asked, container: Foreign | None, large: int) -> list[Arrays]:
    """The answers of the bundle's own code, or of its container's emulation. Raises GateNotMet with its last line where
    it fails."""
    count = len(asked.requests)
    for number, request in enumerate(asked.requests):
        samples.write_npz(work / f"request-{number}.npz", samples.plain(request))
        if container is not None:
            (work / f"request-{number}.json").write_bytes(container.body(request))
    function, job = (SERVED, {}) if container is None else (container.function, dict(container.job))
    job |= {"bundle": str(bundle.resolve()), "count": count, "large": large}
    memory = confined.memory_limit() + large  # what is mapped counts as data there
    environment = {"CLOUDMODEL_THREADS": "1"}
    try:
        confined.run(function, job, folder=work, seconds=TIMEOUT, memory=memory, environment=environment)
    except CloudmodelError as error:
        raise GateNotMet(f"The bundle's serving code failed: {error.message}", where=str(bundle)) from None
    if container is None:
        return [samples.read_npz(work / f"answer-{number}.npz") for number in range(count)]
    bodies = [(work / f"answer-{number}.json").read_bytes() for number in range(count)]
    try:
        return [foreign.read(body, wanted) for body, wanted in zip(bodies, asked.answers, strict=True)]
    except ValueError as error:
        raise GateNotMet(f"The bundle's server gave no answer that can be read: {error}", where=str(bundle)) from None
