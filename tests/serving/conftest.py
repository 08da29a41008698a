"""Bundles that were really packaged, and servers that really run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import onnx_models
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "cli/cloudmodel/cli/scaffold/digits"
DEADLINE = 180.0


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Unpacked bundles by name."""
    folder = tmp_path_factory.mktemp("bundles")
    sources = {
        "digits": DIGITS / "models/digits.onnx",
        "text": onnx_models.text(folder / "text.onnx"),
        "echo": onnx_models.echo(folder / "echo.onnx", "fdiubs"),
        "rows": onnx_models.echo(folder / "rows.onnx", "fib", ("batch",)),
        "scalar": onnx_models.echo(folder / "scalar.onnx", "f", ()),
        "external": onnx_models.external(folder / "external"),
    }
    store = open_store("store", base=folder)
    for name, source in sources.items():
        extract(package(ModelSource(name, source), store).archive, folder / "unpacked" / name)
    return {name: folder / "unpacked" / name for name in sources}


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder
        self.port = 0

    def until(self, condition: Callable[[], Any]) -> Any:
        """The condition's value as soon as it is true; fails at the deadline."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.01)
        raise AssertionError(f"did not come: {self.errors}")

    def listening(self) -> Running:
        """Wait until its port is known."""
        ready = self._folder / "ready"
        self.until(lambda: ready.exists() or self.process.poll() is not None)
        assert ready.exists(), self.errors
        self.port = int(ready.read_text())
        return self

    def ready(self) -> Running:
        """Wait until /ping is 200."""
        self.listening()
        self.until(lambda: self.process.poll() is not None or self.ask("GET", "/ping").status == 200)
        assert self.process.poll() is None, self.errors
        return self

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; underscores in header names stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("content-type", ""), answer.read())

    def invoke(self, body: bytes | str | Any, kind: str = "application/json", accept: str = "") -> Answer:
        """POST /invocations; what is no text or bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        return self.ask("POST", "/invocations", data, Content_Type=kind, Accept=accept)

    @property
    def errors(self) -> str:
        """What it wrote to stderr."""
        return (self._folder / "stderr").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server on a folder: `serve(folder, "--port", "0", VARIABLE="value")`."""
    running: list[Running] = []

    def start(model_dir: Path, *words: str, **environment: str) -> Running:
        folder = tmp_path / f"server-{len(running)}"
        folder.mkdir()
        command = [sys.executable, "-m", "cloudmodel.serving.server", "--model-dir", str(model_dir)]
        command += ["--ready-file", str(folder / "ready"), *(words or ("--port", "0"))]
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(command, stderr=stderr, env={**os.environ, **environment})
        running.append(Running(process, folder))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()
