"""`optimize` beside what others make by default: onnxruntime's own quantizers, NNCF, Olive. One model, one run.

    python benchmarks/peers.py digits|resnet18|minilm FOLDER NNCF_PYTHON OLIVE_PYTHON [first]

`resnet18` needs what `mnist_resnet18.py FOLDER` wrote, `minilm` what `minilm_int8.py WHEELS FOLDER` did; `digits` makes
its own. NNCF (nncf==3.4.0) and Olive (olive-ai==0.13.0 requests datasets) live in environments of their own, for their
pins clash; the two paths are their interpreters. Every model that comes out is asked the same final rows, which neither
the search nor a tool saw, and is timed beside the original in the same processes. Says which trials of our front a
peer's model dominates: nowhere worse (accuracy, fidelity, bytes, time) and somewhere better, times compared by their
intervals. With `first` only that is asked which of our search and NNCF's accuracy control comes first to a model whose
accuracy and latency were measured: the search is stopped there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from cloudmodel.core.progress import Progress
from cloudmodel.formats import onnx, onnx_files, samples
from cloudmodel.optimize import gate, inference, metrics, sets
from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.gate import Demand, Judged
from cloudmodel.optimize.measure import LOOK, Effort, measure
from cloudmodel.optimize.optimize import Request, optimize
from cloudmodel.optimize.technique import SEED

TOOLS = Path(__file__).with_name("peer_tools.py")
LIMIT = 900.0
"""Seconds that a tool may take."""


@dataclass
class Entry:
    """A model that somebody made: by whom, in how many seconds, and what was found of it."""

    maker: str
    model: Path
    seconds: float
    ours: bool
    judged: Judged | None = None
    ratio: Interval | None = None

    def row(self) -> str:
        """A line of the table."""
        assert self.judged is not None
        assert self.ratio is not None
        gap, ratio = self.judged.delta, self.ratio
        return (
            f"| {self.maker} | {self.seconds:.0f} | {onnx_files.size_of(self.model):,} |"
            f" {gap.mid:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] | {self.judged.fidelity:.4f} |"
            f" {ratio.mid:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] |"
            f" {self.judged.verdict} |"
        )


def request_of(name: str, folder: Path) -> Request:
    """What is asked of `optimize` for one of the three models."""
    if name == "digits":
        if not (folder / "cloudmodel.yaml").is_file():
            subprocess.run([str(Path(sys.executable).with_name("cloudmodel")), "init", str(folder)], check=True)
        model, evaluate, train = folder / "models/digits.onnx", "data/heldout.npz", "data/train.npz"
    else:
        model = folder / ("minilm.onnx" if name == "minilm" else "model.onnx")
        evaluate, train = "heldout.npz", "train.npz"
    return Request(
        model, onnx.signature(model), folder, evaluate, "accuracy", folder / "cache-peers", train=train,
        techniques=("graph", "quantize"), budget=900.0, demand=Demand(max_drop=0.0095 if name == "minilm" else 0.01),
        objective="throughput" if name == "digits" else "latency",
    )  # fmt: skip


def search(request: Request) -> list[Entry]:
    """Our front; says when the first trial was accepted and measured, with what a new process takes to import us."""
    shutil.rmtree(request.cache, ignore_errors=True)
    started, first = perf_counter(), "no trial was accepted early"
    subprocess.run([sys.executable, "-c", "import cloudmodel.optimize.optimize"], check=True)

    def tell(progress: Progress, /) -> None:
        nonlocal first
        if progress.task == "accepted":
            first = f"first accepted and measured after {perf_counter() - started:.1f} s ({progress.note})"

    outcome = optimize(request, tell)
    seconds = perf_counter() - started
    print(f"search: {seconds:.0f} s; {first}; {outcome.document['reason']}", flush=True)
    front = set(outcome.document["front"])
    return [
        Entry(f"ours {trial.id}: {trial.recipe.title}" + (" (chosen)" if trial is outcome.found.chosen else ""),
              trial.made.model, seconds, True)
        for trial in outcome.found.trials if trial.id in front and trial.made is not None
    ]  # fmt: skip


class Told(Exception):
    """The search has told of its first trial."""


def first_of(request: Request, nncf: str, data: tuple[Path, Path], one: Path, transformer: bool) -> None:
    """Print after how many seconds a first model was made, asked and timed, by us and by NNCF, who begin together: on a
    machine that has other work, too, both have the same."""
    shutil.rmtree(request.cache, ignore_errors=True)
    started = perf_counter()

    def tell(progress: Progress, /) -> None:
        print(f"{perf_counter() - started:7.1f} s  {progress.task} {progress.done} {progress.note}", flush=True)
        if progress.task == "accepted":
            raise Told

    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(made_by, "nncf-accuracy", nncf, request, data, transformer)
        subprocess.run([sys.executable, "-c", "import cloudmodel.optimize.optimize"], check=True)
        with contextlib.suppress(Told):
            print(f"no trial was told early: {optimize(request, tell).document['reason']}")
        entry = theirs.result()
    if entry is not None:
        measured = entry.seconds + look(request, entry, one)
        print(f"NNCF with accuracy control: made after {entry.seconds:.1f} s, measured after {measured:.1f} s")


def made_by(tool: str, python: str, request: Request, data: tuple[Path, Path], transformer: bool) -> Entry | None:
    """A tool's model, or None where it fails, which is said; `data` are rows to calibrate with, and labelled ones."""
    out = request.folder / "peers" / f"{tool}.onnx"
    out.parent.mkdir(exist_ok=True)
    out.unlink(missing_ok=True)
    started = perf_counter()
    command = [
        python,
        str(TOOLS),
        tool,
        str(request.model),
        *map(str, data),
        str(out),
        *(["transformer"] * transformer),
    ]
    environment = {**os.environ, "NNCF_CI": "1", "OLIVE_DISABLE_TELEMETRY": "1", "CI": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment)
    except subprocess.TimeoutExpired:
        print(f"{tool} has no result after {LIMIT:.0f} s", flush=True)
        return None
    if done.returncode != 0 or not out.is_file():
        print(f"{tool} failed: {(done.stderr.strip().splitlines() or ['no word'])[-1][:300]}")
        return None
    seconds = perf_counter() - started
    print(f"{tool}: a model after {seconds:.1f} s", flush=True)
    return Entry(tool, out, seconds, ours=False)


def judge(entries: Sequence[Entry], request: Request, final: Dataset, metric: metrics.Metric) -> None:
    """Ask every model the final rows."""
    batch = inference.batch_of(request.signature, request.objective)
    with ThreadPoolExecutor(2) as pool:
        models = [request.model, *(entry.model for entry in entries)]
        original, *found = pool.map(lambda model: inference.answers(model, final, request.signature, batch), models)
    for entry, answers in zip(entries, found, strict=True):
        entry.judged = gate.judge(metric, original, answers, final, request.demand)


def timed(request: Request, data: Dataset) -> Path:
    """The request that is timed: as the search's own, one row, or for throughput a batch."""
    path = request.folder / "peer-request.npz"
    rows = np.arange(inference.batch_of(request.signature, request.objective))
    samples.write_npz(path, {name: array[rows] for name, array in data.inputs.items()})
    return path


def look(request: Request, entry: Entry, one: Path) -> float:
    """Seconds that it takes to measure a model as briefly as the search does for its first word: no tool does it."""
    started = perf_counter()
    measure(request.model, [entry.model], one, request.folder / "look-peer", effort=LOOK)
    return perf_counter() - started


def dominated(one: Entry, by: Entry) -> bool:
    """Whether `by` is nowhere worse than `one` and somewhere better; a time counts where the intervals are apart."""
    assert one.judged
    assert by.judged
    assert one.ratio
    assert by.ratio
    size, other = onnx_files.size_of(one.model), onnx_files.size_of(by.model)
    gap = by.judged.fidelity - one.judged.fidelity
    worse = by.ratio.high < one.ratio.low or by.judged.metric < one.judged.metric or gap < 0 or other > size
    better = by.ratio.low > one.ratio.high or by.judged.metric > one.judged.metric or gap > 0.001 or other < 0.98 * size
    return better and not worse


def main(name: str, folder: Path, nncf: str, olive: str, what: str = "all") -> None:
    """Make, ask, time, compare, print."""
    request = request_of(name, folder)
    divided = sets.divide(
        request.evaluate, folder, request.signature, train=request.train, calibrate=request.calibrate, seed=SEED
    )
    rows = divided.calibration.write(folder / "peer-rows.npz")
    labelled = divided.selection.write(folder / "peer-labelled.npz")
    one = timed(request, divided.selection)
    if what == "first":
        first_of(request, nncf, (rows, labelled), one, name == "minilm")
        return
    entries = search(request)
    pythons = {"ort-dynamic": sys.executable, "ort-static": sys.executable, "nncf": nncf, "nncf-accuracy": nncf,
               "olive": olive}  # fmt: skip
    peers = [made_by(tool, python, request, (rows, labelled), name == "minilm") for tool, python in pythons.items()]
    entries += [entry for entry in peers if entry is not None]
    for entry in entries:
        if entry.maker == "nncf-accuracy":
            print(
                f"{entry.maker}: measured as our first trial is after {entry.seconds + look(request, entry, one):.1f} s"
            )
    answers = inference.answers(request.model, divided.selection, request.signature)
    metric = metrics.fit(request.metric, answers, divided.selection, folder=folder)
    judge(entries, request, divided.final, metric)
    found = measure(
        request.model, [entry.model for entry in entries], one, folder / "measured-peers", effort=Effort(seconds=60.0)
    )  # fmt: skip
    for entry, ratio in zip(entries, found.ratios, strict=True):
        entry.ratio = ratio
    print(
        "| made by | s | bytes | accuracy change | worst cosine | times as fast | gate |\n|---|---|---|---|---|---|---|"
    )
    for entry in entries:
        print(entry.row())
    print(f"noise floor [{found.floor.low:.3f}, {found.floor.high:.3f}], {dict(found.conditions)}, void: {found.void}")
    ours = [entry for entry in entries if entry.ours]
    beaten = [(entry.maker, by.maker) for entry in ours for by in entries if not by.ours and dominated(entry, by)]
    print(f"of our front, dominated: {beaten or 'none'}; {len(divided.final)} final rows")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *sys.argv[3:])
