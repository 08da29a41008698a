"""What is taken from the cache: a trial by all that decides its bytes, a latency by the processor too, and by leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimize_parts as parts
from cloudmodel.formats import onnx
from cloudmodel.optimize import cache, machine, measure, workshop
from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.measure import GLANCE, Measured
from cloudmodel.optimize.recipe import Recipe, step
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.workshop import Made, Workshop

Make = Callable[..., Workshop]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A workshop on one cache; what is not given is the same each time."""

    def made(
        *, width: int = 64, calibrated: int = 0, trained: int = 0, batch: int = 32, reuse: bool = False
    ) -> Workshop:
        model = parts.mlp(tmp_path / f"mlp-{width}.onnx", width=width)
        calibration, train, held = (
            Dataset({"x": parts.rows(20, (16,), seed)}, np.zeros(20, int), None, "rows")
            for seed in (10 + calibrated, 20 + trained, 30)
        )
        material = Material(onnx.signature(model), metric="accuracy", folder=tmp_path)
        return Workshop(
            Artifact(model), material, Sets(train, calibration, held, held, "rows"),
            root=tmp_path / "cache", work=tmp_path / "work", batch=batch, reuse=reuse,
        )  # fmt: skip

    return made


STATIC, TRAINED = Recipe(steps=(step("static-int8"),)), Recipe(steps=(step("prune"), step("static-int8")))


def test_trial_is_known_by_model_recipe_rows_and_versions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    was = make().key(STATIC)
    assert make().key(STATIC) == was
    assert make(trained=1).key(STATIC) == was  # rows that it does not learn from
    others = [make(width=32).key(STATIC), make(calibrated=1).key(STATIC), make().key(TRAINED)]
    others += [make(trained=1).key(TRAINED), make().key(Recipe(steps=(step("static-int8", per_channel=False),)))]
    found = cache.versions()
    monkeypatch.setattr(workshop, "versions", lambda: {**found, "onnxruntime": "0.1"})
    others.append(make().key(STATIC))
    assert len({was, *others}) == 7


def test_trial_that_trains_is_known_by_the_projects_code_too(make: Make, tmp_path: Path) -> None:
    """The student of `distill` is a function of it: another one was answered from the cache."""
    keys = set()
    for name, text in (("net.py", "WIDTH = 8"), ("net.py", "WIDTH = 16"), ("parts/net.py", ""), (".venv/net.py", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        keys |= {make().key(STATIC), make().key(TRAINED)}
    assert len(keys) == 1 + 3


def test_rows_are_asked_together_as_in_the_request_that_is_timed(make: Make) -> None:
    """A row that reaches far takes the others of its batch their step, where steps are chosen while the model runs."""
    rows = parts.rows(8, (16,))
    rows[3] *= 100
    data = Dataset({"x": rows}, None, None, "rows")
    found = {}
    for batch in (1, 8):
        bench = make(batch=batch)
        made = bench.make(Recipe(steps=(step("dynamic-int8"),)), 60)
        found[batch] = bench.answers(made.model, made.sha256, data)["logits"]
        alone = [parts.answers(made.model, rows[place : place + batch]) for place in range(0, 8, batch)]
        np.testing.assert_array_equal(found[batch], np.concatenate(alone))
        assert len(np.load(bench.request(data))["x"]) == batch
    assert not np.allclose(found[1], found[8], atol=1e-3)


def test_latency_is_taken_over_when_resumed_on_the_same_processor(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []

    def measured(*models: Any, **options: Any) -> Measured:
        runs.append(models)
        return Measured((Interval(1.0, 1.5, 2.0),), Interval(0.99, 1.0, 1.01), 1.0, {"steal": 0.0}, None)

    monkeypatch.setattr(measure, "measure", measured)

    def ask(*, reuse: bool) -> Measured:
        bench = make(reuse=reuse)
        made = Made(bench.original.model, "digest", 1, [])
        return bench.measure([made], bench.request(bench_rows()), GLANCE)

    first = ask(reuse=True)
    assert ask(reuse=True) == first
    assert len(runs) == 1
    ask(reuse=False)
    assert len(runs) == 2  # of another day
    monkeypatch.setattr(machine, "fingerprint", lambda: "another processor")
    ask(reuse=True)
    assert len(runs) == 3


def bench_rows() -> Dataset:
    return Dataset({"x": parts.rows(3, (16,))}, None, None, "rows")
