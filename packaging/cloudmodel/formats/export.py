"""From a model to an ONNX file that onnxruntime loads and that answers alike on every batch size asked: the exporters
are tried in order, and why one was passed over is recorded."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudmodel.core.errors import CloudmodelError, StepFailed
from cloudmodel.formats import onnx_files
from cloudmodel.formats.model import Frozen, Signature
from cloudmodel.formats.original import Asked, Exporter
from cloudmodel.formats.session import open_session

OPSET = 20
IR_VERSION = 10
"""What the oldest serving container of ours still loads."""
ABSOLUTE, RELATIVE = 1e-4, 1e-3
"""An answer agrees where |difference| <= ABSOLUTE * largest + RELATIVE * |answer|: sums come in another order."""


class Exported(Frozen):
    """The file, its signature, who wrote it, why the exporters before did not (empty where the first one did), and the
    largest difference to the model's answers, over the largest answer."""

    model: Path
    signature: Signature
    exporter: str
    reason: str
    worst: float


def export(exporters: Mapping[str, Exporter], asked: Asked, folder: Path, *, where: str) -> Exported:
    """Write `model.onnx` into `folder`, which holds nothing else of an exporter that failed.

    Raises StepFailed with every exporter's reason.
    """
    reasons = []
    kept = set(folder.iterdir())
    for name, exporter in exporters.items():
        try:
            with _silence():
                path = exporter(asked, folder)
                signature = onnx_files.declare(path, asked.signature, IR_VERSION)
            worst = compare(path, asked)
        except Exception as error:  # an exporter fails in every way there is
            reasons.append(f"{name}: {_reason(error)}")
            for left in set(folder.iterdir()) - kept:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            continue
        return Exported(model=path, signature=signature, exporter=name, reason="; ".join(reasons), worst=worst)
    raise StepFailed(
        f"The model cannot be exported to ONNX ({'; '.join(reasons) or 'its format has no exporter'})",
        where=where,
        hint="leave out control flow that depends on values, and shapes that are fixed to one batch size",
    )


def compare(path: Path, asked: Asked) -> float:
    """The largest difference of onnxruntime's answers to the recorded ones, over the largest answer.

    Raises StepFailed where onnxruntime refuses the file or an answer differs in name, shape, kind or by more than the
    tolerance.
    """
    session = open_session(path)
    worst = 0.0
    for request, wanted in zip(asked.requests, asked.answers, strict=True):
        batch = next((len(array) for array in request.values() if array.ndim), 1)
        try:
            values = session.run(None, dict(request))
        except Exception as error:
            raise StepFailed(f"onnxruntime fails on a batch of {batch}: {_line(error)}") from None
        found = dict(zip([output.name for output in session.get_outputs()], values, strict=True))
        if list(found) != list(wanted):
            raise StepFailed(f"the file has the outputs {list(found)}, the model {list(wanted)}")
        for name, array in wanted.items():
            worst = max(worst, difference(array, np.asarray(found[name]), f"on a batch of {batch} the file"))
    return worst


def difference(wanted: NDArray[Any], found: NDArray[Any], who: str) -> float:
    """The largest difference of two answers over the largest value. Raises StepFailed, `who` answers otherwise."""
    if wanted.shape != found.shape:
        raise StepFailed(f"{who} answers {list(found.shape)}, the model {list(wanted.shape)}")
    if _kind(wanted) != _kind(found):
        raise StepFailed(f"{who} answers in {found.dtype}, the model in {wanted.dtype}")
    if wanted.dtype.kind != "f":
        if not np.array_equal(wanted, found):
            raise StepFailed(f"{who} answers with other values")
        return 0.0
    same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    largest = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(wanted.astype(np.float64) - found))
        alike = same | (gap <= ABSOLUTE * largest + RELATIVE * np.abs(wanted))
    if not np.all(alike):
        raise StepFailed(f"{who} answers differently, by {float(gap.max()):.3g}")
    return float(gap.max(initial=0.0)) / largest


def _kind(array: NDArray[Any]) -> str:
    return "U" if array.dtype.kind == "O" else array.dtype.kind


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, CloudmodelError) else f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporters print their progress and warn of each other."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
