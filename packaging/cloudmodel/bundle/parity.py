"""Same inputs to the original model and to the bundle's own serving code, answers compared.

The serving code runs as a container would run it: in a process of its own, from the bundle's folder, where cloudmodel
cannot be imported. The original runs in onnxruntime here, with its default options. Both use one thread, so that the
errors found, which the manifest records, are the same on every run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.bundle import golden
from cloudmodel.bundle.manifest import Golden, Parity
from cloudmodel.core.errors import GateNotMet, ModelUnreadable, Unsupported
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import samples
from cloudmodel.formats.model import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""An answer passes where |difference| <= ABSOLUTE + RELATIVE * |original|: the noise of another order of sums."""
TIMEOUT = 900  # seconds for loading and all samples

DRIVER = """
import sys
bundle, work, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
class NotHere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cloudmodel":
            raise ImportError("a container has no cloudmodel")
sys.meta_path.insert(0, NotHere())
sys.dont_write_bytecode = True
sys.path.insert(0, bundle + "/code")
import inference
model = inference.model_fn(bundle)
for number in range(count):
    with open(f"{work}/request-{number}.npz", "rb") as file:
        request = inference.input_fn(file.read(), "application/x-npz")
    body, kind = inference.output_fn(inference.predict_fn(request, model), "application/x-npz")
    with open(f"{work}/answer-{number}.npz", "wb") as file:
        file.write(body)
"""


def prove(
    original: Path,
    bundle: Path,
    signature: Signature,
    *,
    data: Arrays | None = None,
    report: Report = silent,
) -> tuple[Parity, dict[str, int], Golden | None]:
    """Compare on three batch sizes; returns what was found, sizes of the symbols with which the model runs, and the
    sample that was kept in the bundle's folder.

    `data` holds rows of real inputs by name; without it they are made from a seed. Raises GateNotMet where the
    answers differ or the serving code fails, ModelUnreadable where the original itself answers to no input tried.
    """
    requests, expected, sizes = _original(original, signature, data, report)
    with tempfile.TemporaryDirectory(prefix="cloudmodel-parity-") as work:
        answers = _served(bundle, Path(work), requests)
    report(Progress("parity", len(requests), len(requests)))
    batch = samples.batch_symbol(signature)
    count = sum(sizes_of[batch] for sizes_of in sizes) if batch else len(requests)
    found = compare(expected, answers, count)
    if not found.passed:
        raise GateNotMet(
            f"The bundle answers differently from the original (largest error {found.max_abs_error:.3g}, "
            f"agreement {found.agreement:.3f})",
            where=str(original),
            hint="look at model.inputs and at the export (random operators need a seed); such a bundle is never kept",
            details={"parity": found.model_dump()},
        )
    kept = golden.keep(bundle, requests[0], expected[0], absolute=ABSOLUTE, relative=RELATIVE)
    return found, sizes[0], kept


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


def _original(
    original: Path, signature: Signature, data: Arrays | None, report: Report
) -> tuple[list[Arrays], list[Arrays], list[dict[str, int]]]:
    """Inputs, the original's answers to them, and the sizes used; from `data`, else from the first guess that runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(original), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in signature.outputs]
    failure: Exception | None = None
    usable = data is not None and all(tensor.shape for tensor in signature.inputs)
    for guess in [samples.Guess(1, 2)] if usable else samples.guesses(signature):
        requests: list[Arrays] = []
        expected: list[Arrays] = []
        sizes: list[dict[str, int]] = []
        try:
            start = 0
            for number, batch in enumerate(samples.BATCHES):
                report(Progress("parity", number, len(samples.BATCHES), f"batch of {batch}"))
                if usable:
                    assert data is not None
                    request = samples.rows(data, signature, batch, start)
                    start += batch
                else:
                    request = samples.make(signature, batch, guess)
                expected.append(dict(zip(names, _run(session, names, request, str(original)), strict=True)))
                requests.append(request)
                sizes.append(_sizes(signature, request))
            return requests, expected, sizes
        except onnxruntime_errors() as error:
            failure = error
    raise ModelUnreadable(
        f"The model runs with none of the inputs tried: {' '.join(str(failure).split())[:500]}",
        where=str(original),
        hint="give real inputs as evaluate.data (npz), or fix its shapes with model.inputs",
    )


def _run(session: Any, names: Sequence[str], request: Arrays, where: str) -> list[NDArray[Any]]:
    """The original's answer. A model may loop without end: it is stopped after TIMEOUT seconds, and at once on Ctrl-C,
    which Python does not hear while onnxruntime holds the main thread.

    Raises ModelUnreadable after TIMEOUT seconds, Unsupported for an answer of more than samples.MAX_BYTES.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    with ThreadPoolExecutor(1, thread_name_prefix="original") as pool:
        running = pool.submit(session.run, names, request, options)
        try:
            answer: list[NDArray[Any]] = running.result(TIMEOUT)
        except TimeoutError:
            raise ModelUnreadable(
                f"The model gave no answer in {TIMEOUT} s", where=where, hint="look for a loop that does not end"
            ) from None
        finally:
            options.terminate = True
    if (held := sum(array.nbytes for array in answer)) > samples.MAX_BYTES:
        raise Unsupported(
            f"One answer of this model takes {held >> 20:,} MiB; parity compares at most {samples.MAX_BYTES >> 20:,}",
            where=where,
            hint="check the shapes that the model declares",
        )
    return answer


def onnxruntime_errors() -> tuple[type[Exception], ...]:
    """What a session raises for inputs that it cannot compute with."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return state.Fail, state.InvalidArgument, state.RuntimeException, state.NotImplemented, ValueError


def _sizes(signature: Signature, request: Arrays) -> dict[str, int]:
    return {
        symbol: size
        for tensor in signature.inputs
        for symbol, size in zip(tensor.shape, request[tensor.name].shape, strict=True)
        if isinstance(symbol, str)
    }


def _served(bundle: Path, work: Path, requests: Sequence[Arrays]) -> list[Arrays]:
    """The answers of the bundle's own code. Raises GateNotMet with its last line where it fails."""
    import numpy as np

    for number, request in enumerate(requests):
        plain = {name: array.astype(np.str_) if array.dtype == object else array for name, array in request.items()}
        samples.write_npz(work / f"request-{number}.npz", plain)
    command = [sys.executable, "-I", "-c", DRIVER, str(bundle), str(work), str(len(requests))]
    environment = {**os.environ, "CLOUDMODEL_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=work, env=environment
        )
    except subprocess.TimeoutExpired:
        raise GateNotMet(f"The bundle's serving code gave no answer in {TIMEOUT} s", where=str(bundle)) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise GateNotMet(f"The bundle's serving code failed: {lines[-1][:500]}", where=str(bundle))
    answers: list[Arrays] = []
    for number in range(len(requests)):
        with np.load(work / f"answer-{number}.npz", allow_pickle=False) as data:
            answers.append({name: data[name] for name in data.files})
    return answers
