"""CPU of one prediction of the digits template: our server beside FastAPI and LitServe, in one run.

    python benchmarks/serving_peers.py PYTHON

PYTHON is the interpreter of a throw-away environment with `fastapi`, `litserve`, `granian`, `uvicorn`, `httptools`,
`onnxruntime` and `numpy`; ours is the one that runs this script. Every server answers the same JSON with the same model
and session settings; FastAPI's is the app that its tutorial leads to (a pydantic body, a list back) on uvicorn with
httptools and one worker, LitServe's is its own `LitAPI` with one worker and no batching. CPU is user and system of the
server's processes, the client's is not counted. The ways are measured in turn, round after round; every figure is a
median. granian carries our own container, to see what another HTTP server would cost.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil

from bench import machine
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package
from invoke_cpu import CLIENTS, REQUESTS, ROUNDS, Request, as_json, cpu, free_port, headers, healthy, over_http

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "cli/cloudmodel/cli/scaffold/digits"
PACKAGING = ROOT / "packaging"
READY_SECONDS = 120.0
BOUND = 0.4
"""ms of CPU a request with one client, of ours."""

PEERS = """
import json, os
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = len(os.sched_getaffinity(0))
options.inter_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
def predict(rows):
    return session.run(None, {"image": np.asarray(rows, np.float32)})[0].tolist()
"""
FASTAPI = """
from fastapi import FastAPI
from pydantic import BaseModel
from peers import predict
class Body(BaseModel):
    instances: list[list[list[list[float]]]]
app = FastAPI()
@app.get("/ping")
def ping():
    return {}
@app.post("/invocations")
def invocations(body: Body):
    return {"predictions": predict(body.instances)}
"""
LITSERVE = """
import sys, litserve
from peers import predict
class Digits(litserve.LitAPI):
    def setup(self, device): ...
    def decode_request(self, request):
        return request["instances"]
    def predict(self, rows):
        return predict(rows)
    def encode_response(self, output):
        return {"predictions": output}
if __name__ == "__main__":
    api = Digits(api_path="/invocations")
    litserve.LitServer(api, accelerator="cpu", healthcheck_path="/ping").run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
"""
GRANIAN = """
from pathlib import Path
from cloudmodel.serving.container import Container, Limits
from cloudmodel.serving.script import Script
app = Container(Script(Path("digits")), Limits.from_environment())
app.load()
"""


def commands(peer: str, port: int) -> dict[str, list[str]]:
    """How every server is started in the folder that has its code."""
    at = ["--host", "127.0.0.1", "--port", str(port)]
    ours = [sys.executable, "-m", "cloudmodel.serving.server", "--model-dir", "digits", *at]
    uvicorn = [peer, "-m", "uvicorn", "fast:app", *at, "--http", "httptools", "--loop", "asyncio", "--no-access-log"]
    granian = [peer, "-m", "granian", "--interface", "asginl", "--workers", "1", *at, "--no-access-log", "carried:app"]
    return {"cloudmodel serve": ours, "FastAPI": uvicorn, "LitServe": [peer, "lit.py", str(port)], "granian": granian}


def main() -> None:
    """Measure all and print them; exit 1 where ours costs more than its bound."""
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        folder = Path(scratch)
        prepare(folder)
        body = as_json(np.load(DIGITS / "data/heldout.npz")["inputs"][:1])
        ways = {}
        for name in commands(sys.argv[1], 0):
            port = free_port()
            processes = running.enter_context(started(commands(sys.argv[1], port)[name], folder, port))
            url = f"http://127.0.0.1:{port}/invocations"
            ways[name] = Request(url, body, headers("application/json"), processes)
        results = measured(ways)
    print(f"one image; {ROUNDS} rounds of {REQUESTS} requests each; median ms of CPU a request [lowest, highest]")
    for (name, clients), values in results.items():
        middle, spread = statistics.median(values), f"[{min(values):.3f}, {max(values):.3f}]"
        print(f"{name:18} {clients} client{'s' if clients > 1 else ' '} {middle:6.3f} {spread}")
    print(f"\n{machine()}")
    ours = statistics.median(results["cloudmodel serve", 1])
    sys.exit(f"{ours:.3f} ms is more than {BOUND}" if ours > BOUND else 0)


def prepare(folder: Path) -> None:
    """The bundle, and the peers' code beside the same model."""
    packaged = package(ModelSource("digits", DIGITS / "models/digits.onnx"), open_store("store", base=folder))
    extract(packaged.archive, folder / "digits")
    (folder / "model.onnx").write_bytes((DIGITS / "models/digits.onnx").read_bytes())
    for name, code in {"peers": PEERS, "fast": FASTAPI, "lit": LITSERVE, "carried": GRANIAN}.items():
        (folder / f"{name}.py").write_text(code)


@contextmanager
def started(command: list[str], folder: Path, port: int) -> Iterator[dict[str, psutil.Process]]:
    """The processes of a server, once /ping answers."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGING)}
    with (folder / f"output-{port}").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not healthy(port):
            assert process.poll() is None and time.monotonic() < deadline, (folder / f"output-{port}").read_text()
            time.sleep(0.1)
        parent = psutil.Process(process.pid)
        every = [parent, *parent.children(recursive=True)]
        yield {str(each.pid): each for each in every}
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(30)
        for each in children:
            if each.is_running():
                each.kill()


def measured(ways: Mapping[str, Request]) -> dict[tuple[str, int], list[float]]:
    """ms of CPU a request in every round, by server and number of clients."""
    found: dict[tuple[str, int], list[float]] = {}
    for round_ in range(ROUNDS + 1):
        for name, request in ways.items():
            for clients in CLIENTS:
                before = sum(map(cpu, request.serving.values()))
                over_http(request, clients)
                used = sum(map(cpu, request.serving.values())) - before
                if round_:  # the first one warms up
                    found.setdefault((name, clients), []).append(used / REQUESTS * 1000)
    return found


if __name__ == "__main__":
    main()
