"""A real TorchServe, as PyPI has it, serves the layout: the archive, the bundle's folder, and an ONNX model.

One start for all: 127.0.0.1, ports of its own, no token (it stands for seconds).
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import onnx_models
import served_models

pytestmark = pytest.mark.java
DEADLINE = 180.0


class TorchServe:
    """What stands, and where its models came from."""

    def __init__(self, folder: Path, ports: list[int], module: Any) -> None:
        self.folder = folder
        self.module = module
        self._ports = ports

    def ask(self, method: str, path: str, body: bytes = b"", port: int = 0, **headers: str) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[port], timeout=60)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("content-type", ""), answer.read()

    def until_served(self, process: subprocess.Popen[bytes], model: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            assert process.poll() is None, "TorchServe ended; its log is in the test's folder"
            with contextlib.suppress(OSError, ValueError, LookupError):
                status, _, body = self.ask("GET", f"/models/{model}", port=1)
                if status == 200 and json.loads(body)[0]["workers"][0]["status"] == "READY":
                    return
            time.sleep(0.2)
        raise AssertionError(f"{model} was not served: {(self.folder / 'output').read_text()[-3000:]}")


@pytest.fixture(scope="module")
def torchserve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    folder = tmp_path_factory.mktemp("torchserve")
    store = folder / "store"
    store.mkdir()
    module = served_models.torchscript(folder / "net.pt")
    bundle = served_models.lay_out(folder / "net.pt", "torchserve", "torchscript", served_models.TORCHSCRIPT)
    shutil.copyfile(bundle / "small.mar", store / "small.mar")
    shutil.copytree(bundle, store / "folder")
    onnx_models.linear(folder / "linear.onnx")
    described = served_models.signature({"x": ("float32", ("batch", 4))}, {"y": ("float32", ("batch", 3))})
    linear = served_models.lay_out(folder / "linear.onnx", "torchserve", "onnx", described, name="linear")
    shutil.copyfile(linear / "linear.mar", store / "linear.mar")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    names = ("inference_address", "management_address", "metrics_address")
    lines = [f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, ports, strict=False)]
    lines += [f"grpc_inference_port={ports[3]}", f"grpc_management_port={ports[4]}", "default_workers_per_model=1"]
    (folder / "config.properties").write_text("\n".join(lines) + "\n")
    models = ["small=small.mar", "folder=folder", "linear=linear.mar"]
    command = [str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground", "--ncs"]
    command += ["--disable-token-auth", "--model-store", str(store), "--ts-config", str(folder / "config.properties")]
    environment = {**os.environ, "LOG_LOCATION": str(folder / "logs"), "METRICS_LOCATION": str(folder / "logs")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--models", *models],
            stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True,
        )  # fmt: skip
    started = TorchServe(folder, ports, module)
    try:
        for model in ("small", "folder", "linear"):
            started.until_served(process, model)
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("model", ["small", "folder"])
def test_archive_and_folder_answer_as_the_model_does(torchserve: TorchServe, model: str) -> None:
    import torch

    image = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    scale = np.array([[1], [2], [0.5]], np.float32)
    with torch.no_grad():
        logits, top = (each.numpy() for each in torchserve.module(torch.tensor(image), torch.tensor(scale)))
    document = {"inputs": {"image": image.tolist(), "scale": scale.tolist()}}
    place = f"/predictions/{model}"
    status, kind, body = torchserve.ask("POST", place, json.dumps(document).encode(), Content_Type="application/json")
    assert (status, kind, json.loads(body)) == (
        200, "application/json", {"outputs": {"logits": logits.tolist(), "top": top.tolist()}},
    )  # fmt: skip
    status, kind, body = torchserve.ask(
        "POST", place, npz(image=image, scale=scale), Content_Type="application/x-npz", Accept="application/x-npz"
    )
    assert (status, kind) == (200, "application/x-npz")
    assert np.array_equal(np.load(io.BytesIO(body))["logits"], logits)


def test_an_onnx_model_and_the_clients_mistakes(torchserve: TorchServe) -> None:
    rows = np.array([[1, 2, 3, 4]], np.float32)
    session = onnxruntime.InferenceSession(
        torchserve.folder / "linear.onnx-torchserve/model.onnx", providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": rows})
    status, _, body = torchserve.ask(
        "POST",
        "/predictions/linear",
        json.dumps({"instances": rows.tolist()}).encode(),
        Content_Type="application/json",
    )
    assert (status, json.loads(body)) == (200, {"predictions": y.tolist()})
    for wrong, kind, expected in (
        (b'{"instances": [[1, 2]]}', "application/json", 400),
        (b"{", "application/json", 400),
        (b"x", "image/png", 415),
    ):
        status, _, body = torchserve.ask("POST", "/predictions/linear", wrong, Content_Type=kind)
        assert status == expected, body
        assert json.loads(body)["error"]


def test_the_same_model_gives_the_same_archive(tmp_path: Path) -> None:
    linear = served_models.signature({"x": ("float32", ("batch", 4))}, {"y": ("float32", ("batch", 3))})
    archives = []
    for place in ("one", "two"):
        own = onnx_models.linear(tmp_path / place / "own.onnx")
        bundle = served_models.lay_out(own, "torchserve", "onnx", linear, name="linear")
        archives.append((bundle / "linear.mar").read_bytes())
    assert archives[0] == archives[1]
    names = zipfile.ZipFile(io.BytesIO(archives[0])).namelist()
    assert {"MAR-INF/MANIFEST.json", "handler.py", "model.onnx", "code/inference.py"} <= set(names)
