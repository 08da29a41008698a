"""The container contract over real HTTP, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from cloudmodel.bundle import archive
from cloudmodel.core.errors import UsageError
from cloudmodel.serving import container, server
from cloudmodel.serving.script import Script

if TYPE_CHECKING:
    Serve = Callable[..., Any]

GATED = """
import os, time
from pathlib import Path
HERE = Path(__file__).parent
def wait_for(name):
    while not (HERE / name).exists():
        time.sleep(0.005)
def model_fn(model_dir):
    if os.environ.get("GATE_LOAD"):
        wait_for("load")
    return "model"
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    if data == "die":
        raise RuntimeError("the model\\nbroke")
    (HERE / f"started-{data}").touch()
    wait_for("go")
    return data
def output_fn(prediction, accept):
    return f"answer to {prediction}"
"""


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """A model whose every step waits for a file in `code/`."""
    (tmp_path / "model/code").mkdir(parents=True)
    (tmp_path / "model/code/inference.py").write_text(GATED)
    return tmp_path / "model"


def test_the_shipped_model_answers(bundles: dict[str, Path], serve: Serve) -> None:
    running = serve(bundles["digits"]).ready()
    image = np.random.default_rng(4).standard_normal((3, 1, 8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(bundles["digits"] / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": image})
    answer = running.invoke({"instances": image.tolist()})
    assert (answer.status, answer.kind) == (200, "application/json")
    assert answer.json == {"predictions": logits.tolist()}
    file = io.BytesIO()
    np.save(file, image)
    answer = running.invoke(file.getvalue(), "application/x-npy", "application/x-npy")
    assert (answer.status, answer.kind) == (200, "application/x-npy")
    assert np.array_equal(np.load(io.BytesIO(answer.body)), logits)
    archive.verify(bundles["digits"])  # serving leaves the folder as it was
    assert running.stop() == 0


def test_ping_is_503_until_the_model_is_loaded(gated: Path, serve: Serve) -> None:
    running = serve(gated, GATE_LOAD="1").listening()
    assert running.ask("GET", "/ping").status == 503
    assert running.invoke("x", "text/csv").status == 503
    (gated / "code/load").touch()
    running.ready()
    assert running.ask("GET", "/ping").body == b""


@pytest.mark.parametrize(
    ("body", "kind", "accept", "status", "words"),
    [
        ("{", "application/json", "", 400, "not JSON"),
        (b'{"instances": "\xff"}', "application/json", "", 400, "not UTF-8"),
        ('{"instances": [[1, 2]]}', "application/json", "", 400, "the model takes image: float32[batch, 1, 8, 8]"),
        ("x", "image/jpeg", "", 415, "send one of"),
        ('{"instances": []}', "application/json", "", 400, "shape [0]"),
        ("1,2\n", "text/csv; charset=utf-8", "", 400, "64 were expected"),
    ],
)
def test_the_clients_mistakes(
    bundles: dict[str, Path], serve: Serve, body: Any, kind: str, accept: str, status: int, words: str
) -> None:
    answer = serve(bundles["digits"]).ready().invoke(body, kind, accept)
    assert (answer.status, answer.kind) == (status, "application/json")
    assert words in answer.json["error"]


def test_the_models_mistake_is_500_with_one_line(gated: Path, serve: Serve) -> None:
    running = serve(gated).ready()
    answer = running.invoke("die", "text/csv")
    assert (answer.status, answer.json) == (500, {"error": "RuntimeError: the model broke"})
    assert "Traceback" in running.errors, "the log has the whole story"


def test_other_routes_are_named(gated: Path, serve: Serve) -> None:
    running = serve(gated).ready()
    assert running.ask("GET", "/").status == 404
    assert running.ask("GET", "/invocations").status == 405
    assert running.ask("POST", "/ping").status == 405


def test_as_many_at_once_as_there_are_workers(gated: Path, serve: Serve) -> None:
    running = serve(gated, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(running.invoke, f"r{number}", "text/csv") for number in range(6)]
        running.until(lambda: len(list((gated / "code").glob("started-*"))) == 2)
        assert running.ask("GET", "/ping").status == 200, "busy is not sick"
        assert len(list((gated / "code").glob("started-*"))) == 2
        (gated / "code/go").touch()
        assert sorted(answer.result().body for answer in answers) == [f"answer to r{n}".encode() for n in range(6)]


def test_a_full_queue_says_so_at_once(gated: Path, serve: Serve) -> None:
    running = serve(gated, SAGEMAKER_MODEL_SERVER_WORKERS="1").ready()
    room = 1 + container.PER_WORKER_QUEUE
    with ThreadPoolExecutor(room + 5) as pool:
        answers = [pool.submit(running.invoke, f"r{number}", "text/csv") for number in range(room + 5)]
        running.until(lambda: sum(answer.done() for answer in answers) == 5)
        (gated / "code/go").touch()
        statuses = sorted(answer.result().status for answer in answers)
    assert statuses == [200] * room + [503] * 5


def test_sigterm_finishes_what_runs_and_takes_nothing_new(gated: Path, serve: Serve) -> None:
    running = serve(gated).ready()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.invoke, "last", "text/csv")
        running.until((gated / "code/started-last").exists)
        running.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", running.port), timeout=5).close()
            except OSError:
                return True
            return False

        running.until(refused)
        assert not answer.done()
        (gated / "code/go").touch()
        assert answer.result().body == b"answer to last"
    assert running.process.wait(60) == 0


def test_ctrl_c_ends_with_0(gated: Path, serve: Serve) -> None:
    assert serve(gated).ready().stop(signal.SIGINT) == 0


def test_sigterm_while_loading_ends_it(gated: Path, serve: Serve) -> None:
    running = serve(gated, GATE_LOAD="1").listening()
    running.process.send_signal(signal.SIGTERM)
    (gated / "code/load").touch()
    assert running.process.wait(60) == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('no numpy here')", "error: The model did not load: ImportError: no numpy here"),
        (
            "def model_fn(d):\n    raise ValueError('two\\nlines')",
            "error: The model did not load: ValueError: two lines",
        ),
        ("", "error: The model did not load: AttributeError: module 'inference' has no attribute 'model_fn'"),
    ],
)
def test_a_model_that_does_not_load_ends_with_one_clear_line(
    tmp_path: Path, serve: Serve, code: str, words: str
) -> None:
    (tmp_path / "model/code").mkdir(parents=True)
    (tmp_path / "model/code/inference.py").write_text(code)
    running = serve(tmp_path / "model")
    assert running.process.wait(60) == 1
    assert running.errors.splitlines()[-1] == f"{words} ({tmp_path / 'model'})"


def test_a_bundle_whose_model_was_cut_ends_with_one_clear_line(
    bundles: dict[str, Path], tmp_path: Path, serve: Serve
) -> None:
    shutil.copytree(bundles["digits"], tmp_path / "model")
    os.truncate(tmp_path / "model/model.onnx", 1000)
    running = serve(tmp_path / "model")
    assert running.process.wait(60) == 1
    assert running.errors.splitlines()[-1].startswith("error: The model did not load: ")


def test_a_warm_up_that_fails_is_a_model_that_does_not_load(
    bundles: dict[str, Path], tmp_path: Path, serve: Serve
) -> None:
    shutil.copytree(bundles["text"], tmp_path / "model")
    code = (tmp_path / "model/code/inference.py").read_text()
    broken = "\n\ndef model_warmup_fn(model_dir, model):\n    raise RuntimeError('cold')\n"
    (tmp_path / "model/code/inference.py").write_text(code + broken)
    running = serve(tmp_path / "model")
    assert running.process.wait(60) == 1
    assert "RuntimeError: cold" in running.errors.splitlines()[-1]


def test_a_port_in_use_is_named(gated: Path, serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = serve(gated, "--port", str(port))
        assert running.process.wait(60) == 2
        assert running.errors.splitlines()[-1] == f"error: Port {port} is in use (127.0.0.1:{port})"
        with pytest.raises(UsageError, match="is in use") as caught:
            server.serve(gated, "127.0.0.1", port)
    assert "--port" in str(caught.value.hint)


def test_a_signal_is_heard_from_the_first_moment(gated: Path, serve: Serve) -> None:
    for _ in range(5):
        (gated / "code/load").unlink(missing_ok=True)
        running = serve(gated, GATE_LOAD="1").listening()
        running.process.send_signal(signal.SIGTERM)
        (gated / "code/load").touch()
        assert running.process.wait(60) == 0


@pytest.mark.parametrize("host", ["203.0.113.9", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_named(gated: Path, host: str) -> None:
    with pytest.raises(UsageError, match="Cannot listen"):
        server.serve(gated, host, 0)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No serving code"):
        server.serve(tmp_path, "127.0.0.1", 0)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_is_too_large(gated: Path, serve: Serve, chunked: bool) -> None:
    running = serve(gated, SAGEMAKER_MAX_PAYLOAD_IN_MB="1").ready()
    (gated / "code/go").touch()
    body = b"x" * ((1 << 20) + 1)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    pieces: Any = (body[start : start + 65536] for start in range(0, len(body), 65536)) if chunked else body
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
        connection.request("POST", "/invocations", pieces, {"Content-Type": "text/csv"}, encode_chunked=chunked)
    assert connection.getresponse().status == 413
    connection.close()
    assert running.invoke(b"x" * 100, "text/csv").status == 200


def test_a_request_that_breaks_off_harms_nobody(bundles: dict[str, Path], serve: Serve) -> None:
    running = serve(bundles["digits"]).ready()
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(b"\x00\x01 nonsense\r\n\r\n")
    assert running.invoke({"instances": np.zeros((1, 1, 8, 8)).tolist()}).status == 200


def test_a_request_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "BODY_SECONDS", 0.01)
    waiting = container.Container(Script(tmp_path), container.Limits(workers=1, queue=1, payload=100))
    waiting.ready = True
    sent: list[dict[str, Any]] = []

    async def receive() -> None:
        await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(waiting({"method": "POST", "path": "/invocations", "headers": []}, receive, send))
    waiting.close()
    assert sent[0]["status"] == 408


def test_small_answers_are_not_held_back() -> None:
    with server._listening("127.0.0.1", 0) as listener:  # asyncio asks this before it sets TCP_NODELAY
        assert listener.proto == socket.IPPROTO_TCP


def test_a_connection_is_kept_for_the_next_request(bundles: dict[str, Path], serve: Serve) -> None:
    running = serve(bundles["digits"]).ready()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    body = json.dumps({"instances": np.zeros((1, 1, 8, 8)).tolist()})
    used = set()
    for _ in range(3):
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert connection.sock is not None
        used.add(connection.sock.getsockname())
    connection.close()
    assert len(used) == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("SAGEMAKER_MODEL_SERVER_WORKERS", "0"), ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "lots")]
)
def test_an_environment_that_makes_no_sense(gated: Path, serve: Serve, variable: str, value: str) -> None:
    running = serve(gated, **{variable: value})
    assert running.process.wait(60) == 2
    assert variable in running.errors.splitlines()[-1]


def test_the_default_answer_form_is_the_environments(bundles: dict[str, Path], serve: Serve) -> None:
    running = serve(bundles["digits"], SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv").ready()
    answer = running.invoke({"instances": np.zeros((2, 1, 8, 8)).tolist()})
    assert answer.kind == "text/csv"
    assert len(answer.body.splitlines()) == 2
