"""SageMaker's container contract on one machine: GET /ping, POST /invocations on a bundle's own code.

    python -m cloudmodel.serving.server --model-dir DIR --host 127.0.0.1 --port 8080 [--ready-file FILE]

The port answers at once; /ping is 503 until `code/inference.py` has loaded the model and run it once, then 200.
A model that does not load ends the process with one line on stderr and a non-zero code. SIGTERM and Ctrl-C stop
accepting, finish what runs, and end with 0.

Environment, as AWS's containers name it: SAGEMAKER_PROGRAM, SAGEMAKER_BIND_TO_PORT,
SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, SAGEMAKER_MAX_PAYLOAD_IN_MB, SAGEMAKER_MODEL_SERVER_WORKERS.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import importlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, UsageError

JSON = "application/json"
UTF8_TYPES = (JSON, "text/csv")  # AWS's toolkit hands these to input_fn as str
PER_WORKER_QUEUE = 64
DRAIN_SECONDS = 25  # SageMaker kills 30 s after SIGTERM
BODY_SECONDS = 60  # as long as a whole invocation may take
BACKLOG = 2048

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much one container takes on: `workers` predictions at once, `queue` requests waiting, `payload` bytes."""

    workers: int
    queue: int
    payload: int

    @classmethod
    def from_environment(cls) -> Limits:
        """Cores and 25 MB (the hosting limit of a real-time endpoint), or what the environment says."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = _positive("SAGEMAKER_MODEL_SERVER_WORKERS", cores)
        return cls(workers, workers * PER_WORKER_QUEUE, _positive("SAGEMAKER_MAX_PAYLOAD_IN_MB", 25) * 1024 * 1024)


class Refused(Exception):
    """A request that is answered without the model."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Container:
    """The ASGI application: one loaded model, a small pool of threads, a bounded queue."""

    def __init__(self, model_dir: Path, limits: Limits) -> None:
        self._model_dir = str(model_dir)
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="predict")
        self._held = 0
        self._code: ModuleType | None = None
        self._model: Any = None
        self._accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        self.ready = False

    def load(self) -> None:
        """Import the bundle's code, load the model and run it once. Raises whatever that raises."""
        self._code = _import_code(Path(self._model_dir))
        self._model = self._code.model_fn(self._model_dir)
        warm_up = getattr(self._code, "model_warmup_fn", None)
        if warm_up is not None:
            warm_up(self._model_dir, self._model)
        self.ready = True

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            status, body, content_type = await self._answer(scope, receive)
        except Refused as refusal:
            status, body, content_type = _error(refusal.status, str(refusal))
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: dict[str, Any], receive: Any) -> tuple[int, bytes, str]:
        route = scope["method"], scope["path"]
        if route == ("GET", "/ping"):
            return (200, b"", JSON) if self.ready else _error(503, "the model is loading")
        if scope["path"] not in ("/ping", "/invocations"):
            return _error(404, "this server answers GET /ping and POST /invocations")
        if route != ("POST", "/invocations"):
            return _error(405, f"{scope['path']} does not answer {scope['method']}")
        if not self.ready:
            return _error(503, "the model is loading")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._body(headers, receive)
        except TimeoutError:
            return _error(408, f"the request was not sent within {BODY_SECONDS} s")
        if self._held >= self._limits.workers + self._limits.queue:
            return _error(503, f"{self._held} requests are waiting already; try again")
        self._held += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._pool, self._predict, body, headers.get("content-type", JSON), headers.get("accept", "")
            )
        finally:
            self._held -= 1

    async def _body(self, headers: dict[str, str], receive: Any) -> bytes:
        limit = self._limits.payload
        too_large = Refused(413, f"the request is larger than {limit >> 20} MB")
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise too_large
        pieces, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the request was not sent in full")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise too_large
            more = message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _predict(self, body: bytes, content_type: str, accept: str) -> tuple[int, bytes, str]:
        """The four functions, on a thread of the pool; never raises."""
        code = self._code
        assert code is not None
        if not accept or accept == "*/*":
            accept = self._accept
        try:
            data = body.decode() if content_type in UTF8_TYPES else body
            result = code.output_fn(code.predict_fn(code.input_fn(data, content_type), self._model), accept)
            answer, kind = result if isinstance(result, tuple) else (result, accept)
            return 200, answer.encode() if isinstance(answer, str) else bytes(answer), kind
        except UnicodeDecodeError as error:
            return _error(400, f"not UTF-8: {error}")
        except Exception as error:
            status = getattr(error, "status_code", 500)
            if status >= 500:
                log.exception("prediction failed")
            return _error(status, f"{error}" if status < 500 else _reason(error))

    def close(self) -> None:
        """End the pool; predictions that run are finished first."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def serve(model_dir: Path, host: str, port: int, *, ready_file: Path | None = None) -> None:
    """Serve a bundle's folder until SIGTERM or Ctrl-C; port 0 takes a free one.

    `ready_file` is written with the port once the port answers. Raises UsageError where the port is taken or the
    folder is no bundle, CloudmodelError where the model does not load.
    """
    import uvicorn

    if not (model_dir / "code").is_dir():
        raise UsageError("No serving code here", where=str(model_dir), hint="give a bundle: cloudmodel package")
    container = Container(model_dir, Limits.from_environment())
    config = uvicorn.Config(
        container,
        http="httptools",
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    with _listening(host, port) as listener, _stopped_by_signals(server):
        if ready_file is not None:
            files.write_text(ready_file, f"{listener.getsockname()[1]}\n")
        try:
            asyncio.run(_run(server, container, listener))
        finally:
            container.close()


async def _run(server: Any, container: Container, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.get_running_loop().run_in_executor(None, container.load)
    except Exception as error:
        log.exception("the model did not load")
        raise CloudmodelError(f"The model did not load: {_reason(error)}", where=container._model_dir) from error
    finally:
        if not container.ready:
            server.should_exit = True
        await serving


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket. Raises UsageError where the address cannot be taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with the protocol named does asyncio turn Nagle's algorithm off; else an answer waits 40 ms for a packet.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise UsageError(
                f"Port {port} is in use" if taken else f"Cannot listen: {error.strerror or error}",
                where=f"{host}:{port}",
                hint="choose another with --port",
            ) from None
        yield listener


@contextlib.contextmanager
def _stopped_by_signals(server: Any) -> Iterator[None]:
    """uvicorn hears signals only once it runs, and raises them again after it has drained; here they count from the
    first moment, and once."""

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _import_code(model_dir: Path) -> ModuleType:
    sys.dont_write_bytecode = True  # a bundle's folder stays as it was verified
    code = str(model_dir / "code")
    if code not in sys.path:
        sys.path.insert(0, code)
    return importlib.import_module(os.environ.get("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py"))


def _error(status: int, message: str) -> tuple[int, bytes, str]:
    return status, json.dumps({"error": message}).encode(), JSON


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _positive(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not value.isdigit() or int(value) == 0:
        raise UsageError(f"{variable} must be a whole number above 0, not {value!r}", where="environment")
    return int(value)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cloudmodel.serving.server", description=(__doc__ or "")[:71])
    parser.add_argument("--model-dir", type=Path, default=Path("/opt/ml/model"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    parser.add_argument("--ready-file", type=Path)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    try:
        serve(chosen.model_dir, chosen.host, chosen.port, ready_file=chosen.ready_file)
    except CloudmodelError as error:
        place = f" ({error.where})" if error.where else ""
        print(f"error: {error.message}{place}", file=sys.stderr)  # noqa: T201
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
