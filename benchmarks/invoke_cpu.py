"""CPU of one prediction: InvokeEndpoint of the local stack, and the worker's server alone, against onnxruntime itself.

    python benchmarks/invoke_cpu.py

The digits template, one image a request, as JSON and as npy, for 1 and for 8 clients. CPU is what the serving
processes used (user and system); the client's is not counted: it sends the bytes that boto3 sent once, over connections
that stay open. onnxruntime runs in this process with the bundle's own session settings, on an array that is there.
The ways are measured in turn, round after round; every figure is a median. No bound is set.
"""

from __future__ import annotations

import http.client
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil

from bench import CLOUDMODEL, Project, machine, project, run
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store

ROUNDS = 5
REQUESTS = 2000
CLIENTS = (1, 8)
ENDPOINT = "bench-local"
READY_SECONDS = 60.0

Way = Callable[[int], dict[str, float]]


@dataclass(frozen=True)
class Request:
    """One HTTP request, and the processes that answer it by what they are called here."""

    url: str
    body: bytes
    headers: dict[str, str]
    serving: dict[str, psutil.Process]


def main() -> None:
    """Measure all ways and print them."""
    print(f"{machine()}\n")
    with project("digits") as made, tempfile.TemporaryDirectory() as scratch:
        run("-C", str(made.folder), "package")
        run("-C", str(made.folder), "up", "--yes")
        image = np.load(made.folder / "data" / "heldout.npz")["inputs"][:1]
        model = bundle_code(made, Path(scratch) / "model")
        with served(made) as (port, server):
            bodies = {"application/json": as_json(image), "application/x-npy": as_npy(image)}
            ways: dict[Any, Way] = {
                ("onnxruntime in process", ""): lambda clients: in_process(lambda: model.run(image), clients),
                **{
                    (name, kind): partial(over_http, request)
                    for kind, body in bodies.items()
                    for name, request in (
                        ("worker's server", direct(port, server, body, kind)),
                        ("InvokeEndpoint", invocation(made, body, kind)),
                    )
                },
            }
            results = measure(ways)
    print(f"one image of {image.shape} {image.dtype}; {ROUNDS} rounds of {REQUESTS} requests each; ms of CPU a request")
    report(results)
    print(f"\n{machine()}")


def measure(ways: dict[Any, Way]) -> dict[Any, dict[str, float]]:
    """Median ms of CPU a request by process, and requests a second, of every way with every number of clients."""
    samples: dict[Any, list[dict[str, float]]] = {}
    for round_ in range(ROUNDS + 1):
        for way, measured in ways.items():
            for clients in CLIENTS:
                sample = measured(clients)
                if round_:  # the first one warms up
                    samples.setdefault((*way, clients), []).append(sample)
    return {
        way: {name: statistics.median(each[name] for each in found) for name in found[0]}
        for way, found in samples.items()
    }


def report(results: dict[Any, dict[str, float]]) -> None:
    """A table with the ratio to onnxruntime at the same number of clients."""
    for clients in CLIENTS:
        floor = results["onnxruntime in process", "", clients]["onnxruntime"]
        print(f"\n{clients} client{'s' if clients > 1 else ''}")
        for (name, kind, many), parts in results.items():
            if many != clients:
                continue
            rate = parts["rate"]
            used = {part: each for part, each in parts.items() if part != "rate"}
            split = " + ".join(f"{part} {each:.3f}" for part, each in used.items())
            total = sum(used.values())
            print(f"{name:24} {kind:18} {total:6.3f} ms  {total / floor:5.1f} x  ({split}; {rate:.0f} requests/s)")


def in_process(predict: Callable[[], object], clients: int) -> dict[str, float]:
    """REQUESTS predictions by `clients` threads."""
    began, cpu = time.perf_counter(), time.process_time()
    spread(clients, lambda count: [predict() for _ in range(count)])
    used = time.process_time() - cpu
    return {"onnxruntime": used / REQUESTS * 1000, "rate": REQUESTS / (time.perf_counter() - began)}


def over_http(request: Request, clients: int) -> dict[str, float]:
    """REQUESTS requests over `clients` open connections. Raises AssertionError for an answer that is no prediction."""
    place = urlsplit(request.url)

    def client(count: int) -> None:
        connection = http.client.HTTPConnection(str(place.hostname), place.port)
        for _ in range(count):
            connection.request("POST", place.path, request.body, request.headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
        connection.close()

    before = {name: cpu(process) for name, process in request.serving.items()}
    began = time.perf_counter()
    spread(clients, client)
    seconds = time.perf_counter() - began
    used = {name: (cpu(process) - before[name]) / REQUESTS * 1000 for name, process in request.serving.items()}
    return {**used, "rate": REQUESTS / seconds}


def spread(clients: int, work: Callable[[int], object]) -> None:
    """Share REQUESTS among `clients` threads that begin together."""
    gate = threading.Barrier(clients)

    def one(count: int) -> None:
        gate.wait()
        work(count)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, [REQUESTS // clients] * clients))


def cpu(process: psutil.Process) -> float:
    """User and system seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def direct(port: int, server: psutil.Process, body: bytes, kind: str) -> Request:
    """A request to `cloudmodel serve`."""
    return Request(f"http://127.0.0.1:{port}/invocations", body, headers(kind), {"server": server})


def invocation(made: Project, body: bytes, kind: str) -> Request:
    """What boto3 sends for an InvokeEndpoint, signature and all."""
    import boto3

    client = boto3.client(
        "sagemaker-runtime", endpoint_url=made.cloud.endpoint_url, region_name=made.cloud.region,
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip
    sent: list[Any] = []
    client.meta.events.register("before-send.sagemaker-runtime", lambda request, **_: sent.append(request))
    client.invoke_endpoint(EndpointName=ENDPOINT, Body=body, ContentType=kind, Accept=kind)["Body"].read()
    taken = {
        name: value.decode() if isinstance(value, bytes) else str(value) for name, value in sent[0].headers.items()
    }
    server = psutil.Process(made.cloud.pid)
    (worker,) = server.children()
    return Request(sent[0].url, body, taken, {"local AWS": server, "worker": worker})


@contextmanager
def served(made: Project) -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of `cloudmodel serve`, while the block runs."""
    port = free_port()
    command = [CLOUDMODEL, "-C", str(made.folder), "serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not healthy(port):
            assert process.poll() is None and time.monotonic() < deadline, "cloudmodel serve did not come up"
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def healthy(port: int) -> bool:
    """Whether /ping answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listened at a moment ago."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def bundle_code(made: Project, folder: Path) -> Any:
    """A session with the settings of the bundle's own code; `run(array)` is onnxruntime's answer and nothing else."""
    store = open_store(".cloudmodel/bundles", base=made.folder)
    newest = store.newest("bench")
    assert newest is not None
    extract(store.get(newest), folder)
    sys.path.insert(0, str(folder / "code"))
    from cloudmodel_runtime.session import Model  # type: ignore[import-not-found]

    session = Model(str(folder))._session
    (name,) = (each.name for each in session.get_inputs())

    class Bare:
        def run(self, array: Any) -> Any:
            return session.run(None, {name: array})

    return Bare()


def headers(kind: str) -> dict[str, str]:
    return {"Content-Type": kind, "Accept": kind}


def as_json(image: Any) -> bytes:
    return json.dumps({"instances": image.tolist()}).encode()


def as_npy(image: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
