"""SageMaker's container contract on one machine: GET /ping, POST /invocations and what the bundle's layout adds.

    python -m cloudmodel.serving.server --model-dir DIR --host 127.0.0.1 --port 8080 [--ready-file FILE]

The port answers at once; /ping is 503 until the model is loaded and has run once, then 200. A model that does not
load ends the process with one line on stderr and a non-zero code. SIGTERM and Ctrl-C stop accepting, finish what runs,
and end with 0.

Environment, as AWS's containers name it: SAGEMAKER_PROGRAM, SAGEMAKER_BIND_TO_PORT,
SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, SAGEMAKER_MAX_PAYLOAD_IN_MB, SAGEMAKER_MODEL_SERVER_WORKERS.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, UsageError
from cloudmodel.serving.container import Container, Limits
from cloudmodel.serving.runtime import declared
from cloudmodel.serving.runtime.warming import MANIFEST_FILE
from cloudmodel.serving.service import Service, reason

DRAIN_SECONDS = 25  # SageMaker kills 30 s after SIGTERM
BACKLOG = 2048

log = logging.getLogger(__name__)


def serve(model_dir: Path, host: str, port: int, *, ready_file: Path | None = None) -> None:
    """Serve a bundle's folder until SIGTERM or Ctrl-C; port 0 takes a free one.

    `ready_file` is written with the port once the port answers. Raises UsageError where the port is taken or the
    folder is no bundle, CloudmodelError where the model does not load.
    """
    import uvicorn

    container = Container(service_of(model_dir), Limits.from_environment())
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
            asyncio.run(_run(server, container, listener, model_dir))
        finally:
            container.close()


def service_of(model_dir: Path) -> Service:
    """What serves a bundle's folder: its own code, else the emulation of its layout's server. Raises UsageError."""
    if (model_dir / "code").is_dir():
        from cloudmodel.serving.script import Script

        return Script(model_dir)
    try:
        manifest = json.loads((model_dir / MANIFEST_FILE).read_text())
        layout, name, signature = manifest["layout"], manifest["name"], declared.from_document(manifest["signature"])
    except (OSError, ValueError, KeyError, TypeError):
        layout, name, signature = "", "", declared.Declared((), ())
    found = service_for(layout, name, signature, model_dir) if layout else None
    if found is None:
        raise UsageError("No serving code here", where=str(model_dir), hint="give a bundle: cloudmodel package")
    return found


def service_for(layout: str, name: str, signature: declared.Declared, model_dir: Path) -> Service | None:
    """The emulation of a layout's server, of a layout that has no code of ours."""
    if layout == "tfserving":
        from cloudmodel.serving.tfserving_service import TensorFlowServing

        return TensorFlowServing(model_dir, name)
    if layout == "triton":
        from cloudmodel.serving.triton_service import Triton

        return Triton(model_dir, name, signature)
    return None


async def _run(server: Any, container: Container, listener: socket.socket, model_dir: Path) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.get_running_loop().run_in_executor(None, container.load)
    except Exception as error:
        log.exception("the model did not load")
        raise CloudmodelError(f"The model did not load: {reason(error)}", where=str(model_dir)) from error
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
