"""The child that measures: what it times, and what comes before a sample and does not count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimize_parts as parts
from cloudmodel.core.progress import silent
from cloudmodel.optimize import ratios, stopwatch


@pytest.fixture
def arms(monkeypatch: pytest.MonkeyPatch) -> list[ratios.Arm]:
    """The arms that are timed."""
    seen: list[ratios.Arm] = []
    real = ratios.blocks

    def blocks(baseline: ratios.Arm, others: Any, **options: Any) -> Any:
        seen.extend((baseline, *others))
        return real(baseline, others, **options)

    monkeypatch.setattr(ratios, "blocks", blocks)
    return seen


def run(tmp_path: Path, **job: Any) -> dict[str, Any]:
    model = parts.mlp(tmp_path / "mlp.onnx")
    np.savez(tmp_path / "rows.npz", x=parts.rows(1, (16,)))
    given = {"original": str(model), "trials": [str(model)], "inputs": str(tmp_path / "rows.npz"), "rounds": 6,
             "seconds": 0.0, "threads": 1, "seed": 1, "warm": None}  # fmt: skip
    return stopwatch.run(given | job, silent)


def test_every_sample_has_untimed_calls_before_it(tmp_path: Path, arms: list[ratios.Arm]) -> None:
    found = run(tmp_path)
    assert [arm.warm for arm in arms] == [2, 2, 2] and found["warm"] == 2
    assert min(arm.repeats for arm in arms) > 100  # a call of some µs, a sample of some ms
    assert len(found["control"]) == len(found["trials"][0]) == 6


def test_a_slow_original_has_none_and_another_process_does_as_the_first_did(
    tmp_path: Path, arms: list[ratios.Arm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "LONG", 0)
    assert run(tmp_path)["warm"] == 0
    assert run(tmp_path, warm=2)["warm"] == 2
    assert [arm.warm for arm in arms] == [0, 0, 0, 2, 2, 2]
