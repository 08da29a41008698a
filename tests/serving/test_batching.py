"""Requests that wait together are predicted together, nobody waits for company, and nobody answers for another."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper

import onnx_models
from cloudmodel.serving import container, waiting
from cloudmodel.serving.runtime.batching import run_together
from cloudmodel.serving.runtime.errors import RequestRefused
from cloudmodel.serving.runtime.machine import threads
from cloudmodel.serving.runtime.session import Model
from cloudmodel.serving.runtime.warming import warm_up
from cloudmodel.serving.script import MOST_TOGETHER, Script
from cloudmodel.serving.service import Answer, Asked

if TYPE_CHECKING:
    Serve = Callable[..., Any]

COUNTING = """
import time
from pathlib import Path
HERE = Path(__file__).parent
class Model:
    batches = True
    calls = []
def model_fn(model_dir):
    return Model()
def input_fn(data, content_type):
    if data == "bad":
        error = ValueError("no such text")
        error.status_code = 400
        raise error
    return data
def predict_fn(data, model):
    return predict_many_fn([data], model)[0]
def predict_many_fn(texts, model):
    model.calls.append(len(texts))
    (HERE / f"started-{len(model.calls)}").touch()
    while not (HERE / "go").exists():
        time.sleep(0.005)
    return [f"{text} of {model.calls}" for text in texts]
def output_fn(prediction, accept):
    return prediction
"""


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """A model that batches, tells how many it was asked together, and waits for the file `go` in `code/`."""
    (tmp_path / "model/code").mkdir(parents=True)
    (tmp_path / "model/code/inference.py").write_text(COUNTING)
    return tmp_path / "model"


def test_what_waits_goes_together_and_the_first_waits_for_nobody(counting: Path, serve: Serve) -> None:
    running = serve(counting, SAGEMAKER_MODEL_SERVER_WORKERS="1").ready()
    room = container.PER_WORKER_QUEUE
    with ThreadPoolExecutor(room + 6) as pool:
        first = pool.submit(running.invoke, "first", "text/csv")
        running.until((counting / "code/started-1").exists)
        rest = [pool.submit(running.invoke, f"r{number}", "text/csv") for number in range(room + 5)]
        running.until(lambda: sum(each.done() for each in rest) == 5)
        (counting / "code/go").touch()
        assert first.result().body == b"first of [1]"
        answers = [each.result() for each in rest]
    assert sorted(answer.status for answer in answers) == [200] * room + [503] * 5
    calls = [1, *[MOST_TOGETHER] * (room // MOST_TOGETHER)]
    assert str(calls) in {answer.body.decode().split(" of ")[-1] for answer in answers}
    served = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert all(answers[number].body.startswith(f"r{number} of ".encode()) for number in served)


def test_one_that_cannot_be_read_is_refused_beside_others(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (counting / "code/go").touch()
    monkeypatch.setattr("sys.path", sys.path[:])
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    script = Script(counting)
    script.load()
    asked = [
        Asked("POST", "/invocations", {"content-type": "text/csv"}, text) for text in (b"a", b"bad", b"b", b"\xff")
    ]
    answers = script.answer(asked)
    sys.modules.pop("inference")
    assert [answer.status for answer in answers] == [200, 400, 200, 400]
    assert [answers[0].body, answers[2].body] == [b"a of [2]", b"b of [2]"]


def loaded(path: Path) -> Model:
    """An ONNX file, warmed up as a server warms it up."""
    model = Model(str(path.parent))
    warm_up(str(path.parent), model)
    return model


def test_rows_are_joined_by_form_and_answers_split_back(bundles: dict[str, Path]) -> None:
    model = loaded(bundles["text"] / "model.onnx")
    assert model.batches
    random = np.random.default_rng(5)
    requests = []
    for rows, tokens in ((1, 4), (3, 4), (2, 7), (1, 4)):
        requests.append({"ids": random.integers(0, 9, (rows, tokens)), "mask": np.ones((rows, tokens), np.int64)})
    requests.insert(1, {"ids": np.full((1, 4), 999), "mask": np.ones((1, 4), np.int64)})
    asked: list[int] = []

    class Counted:
        inputs = model.inputs

        def run(self, arrays: Any) -> Any:
            asked.append(len(arrays["ids"]))
            return model.run(arrays)

    outcomes = run_together(requests, Counted())
    assert isinstance(outcomes[1], RequestRefused), "who asks for a word that there is not is told so"
    sound = [place for place in range(5) if place != 1]
    for place in sound:
        outcome, alone = outcomes[place], model.run(requests[place])
        assert not isinstance(outcome, Exception)
        assert all(np.allclose(outcome[name], array, atol=1e-6) for name, array in alone.items())
    assert asked == [6, 1, 1, 3, 1, 2], "together, then each alone because one was at fault"


def test_rows_that_touch_each_other_are_never_joined(tmp_path: Path) -> None:
    """A model that takes the mean of its batch answers a row differently beside another."""
    shape: list[int | str | None] = ["batch", 4]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    path = onnx_models.save(
        tmp_path / "model.onnx",
        nodes,
        [onnx_models.value("x", T.FLOAT, shape)],
        [onnx_models.value("y", T.FLOAT, shape)],
    )
    assert not loaded(path).batches


def test_a_fixed_batch_is_never_joined(bundles: dict[str, Path]) -> None:
    assert not loaded(bundles["scalar"] / "model.onnx").batches
    assert loaded(bundles["digits"] / "model.onnx").batches


def test_a_model_that_is_brief_is_asked_without_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, took = [0.0], [0.0001]
    monkeypatch.setattr("cloudmodel.serving.waiting.time.perf_counter", lambda: clock[0])
    where: list[bool] = []

    def answering(asked: Sequence[Asked]) -> Sequence[Answer]:
        where.append(threading.current_thread() is threading.main_thread())
        clock[0] += took[0]
        return [Answer(200, each.body) for each in asked]

    async def ask(line: waiting.WaitingLine, times: int, size: int) -> None:
        for _ in range(times):
            assert (await line.ask(Asked("POST", "/", {}, b"x" * size))).status == 200

    line = waiting.WaitingLine(answering, 1, 1, lambda: 1)
    asyncio.run(ask(line, waiting.REMEMBERED + 3, 100))
    assert where == [False] * waiting.REMEMBERED + [True] * 3
    asyncio.run(ask(line, 1, 1000))
    assert not where[-1], "a larger request than those before may take longer"
    took[0] = 1.0
    asyncio.run(ask(line, 3, 100))
    assert where[-3:] == [True, False, False], "one that took long was the last"
    line.close()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({}, None),
    ],
)
def test_threads_are_the_cores_that_the_cgroup_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int | None
) -> None:
    monkeypatch.delenv("CLOUDMODEL_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads(tmp_path) == (expected or 8)
