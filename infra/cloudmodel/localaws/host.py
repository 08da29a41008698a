"""The process that is the local AWS: binds, serves, says when it is ready, ends with all its workers."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudmodel.localaws.identity import FILE, HOST, Record, read, started
from cloudmodel.localaws.workers import SERVING_MODULE, Idle, Pool, Worker

PORT_TAKEN = 98
OBJECTS = 50_000
"""New objects after which Python looks for garbage among them, of which there is next to none: its usual 700 cost a
tenth of the CPU of a start and an `up`."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; the exit code is PORT_TAKEN where the port is. See `server.start` for who calls it."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, options.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return PORT_TAKEN
        raise
    listening.listen(128)
    # Pages of other sites must not talk to it from a browser; read by moto when it is imported.
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    # A bucket of another account is there, and not ours to see.
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "false"
    _serve(options, listening, stop)
    return 0


def _serve(options: argparse.Namespace, listening: socket.socket, stop: threading.Event) -> None:
    gc.set_threshold(OBJECTS)
    from werkzeug.serving import make_server

    from cloudmodel.localaws.spared import spare_ecs

    spare_ecs()
    from cloudmodel.localaws.application import Application
    from cloudmodel.localaws.frontend import Handler
    from cloudmodel.localaws.runtime import Limits

    port = listening.getsockname()[1]
    os.environ["MOTO_PORT"] = str(port)
    pool = Pool(
        options.home / "workers",
        most=options.max_workers,
        region=options.region,
        module=options.worker_module,
        kind=Idle if options.without_workers else Worker,
    )

    def rename(instance_id: str) -> None:
        replace(record, instance_id=instance_id).write(options.home)

    limits = Limits(options.max_body, options.invocation_timeout)
    application = Application(options.home, pool, region=options.region, limits=limits, on_reset=rename)
    began = started(os.getpid())
    assert began is not None
    record = Record(os.getpid(), began, port, options.region, application.instance_id)
    # The listening socket is handed over: werkzeug's own bind would end the process with a page of advice.
    server: Any = make_server(HOST, port, application, threaded=True, request_handler=Handler, fd=listening.fileno())
    server.daemon_threads = True
    listening.close()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="http", daemon=True)
    thread.start()
    try:
        record.write(options.home)
        if options.ready_fd is not None:
            os.write(options.ready_fd, b"1")
            os.close(options.ready_fd)
        stop.wait()
    finally:
        server.shutdown()
        pool.close()
        present = read(options.home)
        if present is not None and present.pid == os.getpid():
            (options.home / FILE).unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cloudmodel.localaws.server", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--max-workers", type=int, required=True)
    parser.add_argument("--max-body", type=int, default=6_291_456, help="bytes of one invocation")
    parser.add_argument("--invocation-timeout", type=float, default=60.0, help="seconds of one invocation")
    parser.add_argument("--worker-module", default=SERVING_MODULE, help="the module that a worker runs")
    parser.add_argument("--without-workers", action="store_true", help="endpoints are in service and answer nobody")
    parser.add_argument("--ready-fd", type=int, help="gets one byte when the server answers")
    return parser
