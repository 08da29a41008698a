"""Commands from a warm start: a process that has imported what commands import, and forks for each of them.

Two thirds of what a command costs are imports, and the tests run a thousand. All else is the command's own, as it is
for a user: process, arguments, folder, environment, standard streams, end. What Python decides when it starts is that
of the warm process: the locale, and what variables like PYTHONPATH say.
"""

from __future__ import annotations

import gc
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

PATIENCE = 300.0
"""Seconds that a command may take."""
REQUEST = 1 << 17
PIECE = 1 << 16
IMPORTED = (
    "boto3", "cloudmodel.cli.main", "cloudmodel.cli.running", "cloudmodel.deploy.embedded", "cloudmodel.program.build",
    "pulumi_aws.appautoscaling", "pulumi_aws.cloudwatch", "pulumi_aws.iam", "pulumi_aws.kms", "pulumi_aws.s3",
    "pulumi_aws.sagemaker", "pulumi_aws.sns",
)  # fmt: skip


def run(
    command: Path, words: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: bytes
) -> subprocess.CompletedProcess[bytes]:
    """Run `command WORDS...`, which is cloudmodel's, to its end. Raises TimeoutError after PATIENCE seconds."""
    arguments = [str(command), *words]
    request = json.dumps([arguments, str(folder), dict(environment)]).encode()
    pipes = [os.pipe() for _ in ("stdout", "stderr", "exit code")]
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            requests, _ = _warm()
            socket.send_fds(requests, [request], [given.fileno(), *(writing for _, writing in pipes)])
    finally:
        for _, writing in pipes:
            os.close(writing)
    out, err, code = _read([reading for reading, _ in pipes])
    return subprocess.CompletedProcess(arguments, int(code), out, err)


@cache
def _warm() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The warm process of this one, with which it ends, and where it takes requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-P", __file__, str(theirs.fileno())]
        return ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)


def _read(pipes: Sequence[int]) -> list[bytes]:
    """All that is written into the pipes, which are closed then."""
    said, until = dict.fromkeys(pipes, b""), time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as left:
        for pipe in pipes:
            left.register(pipe, selectors.EVENT_READ)
        while left.get_map():
            ready = left.select(until - time.monotonic())
            if not ready:
                raise TimeoutError(f"it runs for {PATIENCE} seconds and has said {[*said.values()]}")
            for key, _ in ready:
                piece = os.read(key.fd, PIECE)
                said[key.fd] += piece
                if not piece:
                    left.unregister(key.fd)
                    os.close(key.fd)
    return list(said.values())


def _serve(requests: int) -> None:
    """Fork for each request, and tell how each fork ended. In a fork, and where nobody is left to ask, it returns."""
    running: dict[int, tuple[int, int]] = {}
    waiting = select.poll()
    waiting.register(requests, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready != requests:
                waiting.unregister(ready)
                pid, telling = running.pop(ready)
                _, status = os.waitpid(pid, 0)
                os.write(telling, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(telling)
                os.close(ready)
                continue
            with socket.socket(fileno=os.dup(requests)) as heard:
                request, streams, _, _ = socket.recv_fds(heard, REQUEST, 4)
            if not request:
                for pid, _ in running.values():
                    os.kill(pid, signal.SIGKILL)
                return
            *standard, telling = streams
            pid = os.fork()
            if not pid:
                for number, stream in enumerate(standard):
                    os.dup2(stream, number)
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                _become(*json.loads(request))
                return
            for stream in standard:
                os.close(stream)
            running[watched := os.pidfd_open(pid)] = pid, telling
            waiting.register(watched, select.POLLIN)


def _become(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be what was started so. It ends as the command does."""
    from cloudmodel.cli.main import run as command

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = arguments
    command()


if __name__ == "__main__":
    for module in IMPORTED:
        import_module(module)
    gc.freeze()
    _serve(int(sys.argv[1]))
