"""The child that measures: the original, a second copy of it and all trials alive in one process, timed in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from time import monotonic, thread_time_ns
from typing import Any

import numpy as np

from cloudmodel.core.progress import Report
from cloudmodel.formats.session import open_session
from cloudmodel.optimize import machine, ratios

SAMPLE = 5_000_000
"""ns that a sample lasts at least: many calls of a fast model are one sample."""
FIRST = 3
MOST_CALLS = 2000
WARM = 2
"""Calls before a sample that are not timed. The original is asked in every block, so that its weights were nearer than
those of a trial: of two equal models of 45 MB the second seemed 8 % slower. With one such call it is 5 %, with two 1 %.
"""
LONG = 10_000_000
"""From so many ns a call of the original on there are no untimed calls: they would triple the time, and what they take
away is little there and only makes trials look slower."""
PROTOCOL = (SAMPLE, WARM, LONG)
"""What decides a measurement besides its models and its effort."""


def run(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Measure `job["trials"]`, paths of models, against `job["original"]` on the rows of the npz file `inputs`.

    `rounds` blocks of each, fewer where `seconds` are over; `threads` a session; `warm` untimed calls before a sample,
    None to find out. Returns `control`, the log-ratios of the original against itself, `trials`, a list of them a
    trial, the original's median `latency_ms`, `warm`, and what the machine did meanwhile.
    """
    with np.load(job["inputs"], allow_pickle=False) as data:
        inputs = {
            name: data[name].astype(object) if data[name].dtype.kind == "U" else data[name] for name in data.files
        }
    paths = [job["original"], job["original"], *job["trials"]]
    calls = [_call(Path(path), inputs, job["threads"]) for path in paths]
    least = [_least(call) for call in calls]
    warm = job["warm"] if job["warm"] is not None else WARM if least[0] < LONG else 0
    baseline, *others = [ratios.Arm(call, _repeats(ns), warm) for call, ns in zip(calls, least, strict=True)]
    until = monotonic() + job["seconds"]
    gc.disable()
    started = machine.now()
    found, times = ratios.blocks(
        baseline,
        others,
        rounds=job["rounds"],
        clock=thread_time_ns,
        seed=job["seed"],
        stop=lambda: monotonic() > until,
    )
    conditions = machine.between(started, machine.now())
    return {
        "control": found[0],
        "trials": found[1:],
        "latency_ms": float(np.median(times)) / 1e6,
        "warm": warm,
        "conditions": conditions,
    }


def _call(model: Path, inputs: dict[str, Any], threads: int) -> Callable[[], object]:
    session = open_session(model, threads=threads)
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(names, inputs)


def _least(call: Callable[[], object]) -> int:
    """Ask for the first time, and find the least ns that a call takes."""
    best = min(_timed(call) for _ in range(FIRST))
    for _ in range(min(20, max(1, SAMPLE // max(1, best)))):
        best = min(best, _timed(call))
    return best


def _repeats(least: int) -> int:
    """How many calls make a sample."""
    return int(min(MOST_CALLS, max(1, -(-SAMPLE // max(1, least)))))


def _timed(call: Callable[[], object]) -> int:
    started = thread_time_ns()
    call()
    return thread_time_ns() - started
