"""Worker processes that serve bundles: shared by digest and environment, bounded in number, restarted when they die."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudmodel.core.naming import short_hash
from cloudmodel.localaws.connections import Connections
from cloudmodel.localaws.identity import HOST

SERVING_MODULE = "cloudmodel.serving.server"
PING_TIMEOUT = 2.0
STOP_GRACE = 10.0
UNHEALTHY_GRACE = 1.0  # it serves nobody
RESTARTS = 3  # in a row: a worker that has served for STABLE seconds begins to count anew
STABLE = 60.0
HISTORY = 1000
# All that a worker inherits. Everything else of the user's shell, AWS credentials first, stays out of it.
INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_ERROR_LINE = re.compile(r"error: |ERROR |[A-Za-z_][\w.]*(Error|Exception)\b")

Line = tuple[int, str]
"""A line of output with the time it came, in milliseconds since 1970."""


class NoRoom(Exception):
    """All worker processes are in use by other bundles."""


@dataclass(frozen=True)
class Order:
    """What a worker shall serve. `unpack` fills a folder with the model's files; its exceptions are reasons to fail.

    Two orders with the same digest and environment are served by one worker.
    """

    digest: str
    unpack: Callable[[Path], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    startup_timeout: float = 240.0

    @property
    def key(self) -> str:
        """What makes two orders the same."""
        return f"{self.digest[-16:]}-{short_hash(json.dumps(sorted(self.environment.items())))}"


class Worker:
    """One process (and its successors, when it dies) that answers for one order.

    `state` goes starting → ready → (starting → ready …) → failed | stopped.
    """

    def __init__(self, order: Order, folder: Path, *, module: str, region: str) -> None:
        self.order = order
        self.folder = folder
        self.users = 0
        self.state = "starting"
        self.restarts = 0
        self.reason = ""
        self._module = module
        self._region = region
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._connections: Connections | None = None
        self._history: deque[Line] = deque(maxlen=HISTORY)
        self._listeners: list[Callable[[Line], None]] = []
        self._log_lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name=f"worker {order.key}", daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def connections(self, timeout: float, dead: Connections | None = None) -> Connections | None:
        """How to reach it, after waiting at most `timeout` seconds for a (re)start; None when it is not ready.

        `dead` is what an earlier call gave and what nobody listens at any more.
        """

        def settled() -> bool:
            return self.state != "starting" and (self.state != "ready" or self._connections is not dead)

        with self._changed:
            return self._connections if self._changed.wait_for(settled, timeout) and self.state == "ready" else None

    def wait(self, timeout: float) -> str | None:
        """Wait until it is ready: None; else the reason why it is not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.state != "starting", timeout):
                return self._complaint(f"had no healthy /ping within {timeout:g} seconds")
            return None if self.state == "ready" else self.reason or self.state

    def listen(self, listener: Callable[[Line], None]) -> None:
        """Hand every line of output to `listener`, the ones that came before first."""
        with self._log_lock:
            for line in self._history:
                listener(line)
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[Line], None]) -> None:
        """Stop handing lines to `listener`."""
        with self._log_lock, contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    def stop(self) -> None:
        """End it; returns when the process is gone and its model files are removed."""
        self.signal_stop()
        self._keeper.join()

    def signal_stop(self) -> None:
        """Begin to end it."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def describe(self) -> dict[str, Any]:
        """For `local status`."""
        pid = self.pid
        return {
            "digest": self.order.digest,
            "pid": pid,
            "state": self.state,
            "users": self.users,
            "restarts": self.restarts,
            "memory_bytes": resident(pid) if pid else 0,
        }

    def _keep(self) -> None:
        try:
            self._serve()
        except Exception as error:
            self._become("failed", f"{type(error).__name__}: {error}")
        finally:
            if self.state != "failed":
                self._become("stopped")
            shutil.rmtree(self.folder / "model", ignore_errors=True)

    def _serve(self) -> None:
        self.order.unpack(self.folder / "model")
        was_ready, in_a_row = False, 0
        while not self._stopping.is_set():
            process, reader = self._launch()
            port = None
            what = f"had no healthy /ping within {self.order.startup_timeout:g} seconds"
            try:
                port = self._await_healthy(process)
                if port is not None:
                    was_ready = True
                    self._connections = Connections(HOST, port)
                    self._become("ready")
                    since = time.monotonic()
                    process.wait()
                    self._become("starting")
                    in_a_row = 0 if time.monotonic() - since > STABLE else in_a_row
                if process.poll() is not None:
                    what = _ending(process.returncode)
            finally:
                self._end(process, STOP_GRACE if port is not None else UNHEALTHY_GRACE)
                reader.join()
                if self._connections is not None:
                    self._connections.close()
            if self._stopping.is_set():
                return
            if not was_ready or in_a_row >= RESTARTS:
                self._become("failed", self._complaint(what))
                return
            in_a_row += 1
            self.restarts += 1
            self._say(f"the worker {what}; start {self.restarts + 1}")

    def _launch(self) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= {
            "HOME": str(self.folder),
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "PYTHONUNBUFFERED": "1",
            **self.order.environment,
        }
        arguments = ["--model-dir", str(self.folder / "model"), "--host", HOST, "--port", "0"]
        self._process = process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cloudmodel.localaws.tether", self._module, *arguments, "--ready-file", ready],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=environment,
            start_new_session=True,
        )
        if self._stopping.is_set():  # asked to stop while the process was being made
            process.terminate()
        reader = threading.Thread(target=self._read, args=(process,), name=f"output {process.pid}", daemon=True)
        reader.start()
        return process, reader

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with (self.folder / "output.log").open("ab", buffering=0) as file:
            for raw in process.stdout:
                file.write(raw)
                self._say(raw.decode(errors="replace").rstrip("\r\n"))

    def _say(self, message: str) -> None:
        line = (int(time.time() * 1000), message)
        with self._log_lock:
            self._history.append(line)
            for listener in self._listeners:
                listener(line)

    def _await_healthy(self, process: subprocess.Popen[bytes]) -> int | None:
        deadline = time.monotonic() + self.order.startup_timeout
        for attempt in itertools.count():
            if process.poll() is not None or time.monotonic() > deadline:
                return None
            port = _port(self.folder / "ready")
            if port is not None and _healthy(port):
                return port
            if self._stopping.wait(min(0.02 * (attempt + 1), 0.2)):
                return None
        raise AssertionError("endless")

    def _end(self, process: subprocess.Popen[bytes], grace: float) -> None:
        if process.poll() is None:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what the model's code started ends with it
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def _complaint(self, what: str) -> str:
        """The worker's own last error line where there is one, else its last line, else `what`."""
        lines = [text.strip() for _, text in list(self._history) if text.strip()]
        errors = [text for text in lines if _ERROR_LINE.match(text)]
        own = (errors or lines or [""])[-1]
        return f"{own} (the worker {what})" if own else f"the worker {what}"

    def _become(self, state: str, reason: str = "") -> None:
        with self._changed:
            self.state, self.reason = state, reason
            self._changed.notify_all()


class Idle(Worker):
    """Is ready without a process: its endpoint comes into service and answers nobody."""

    def connections(self, timeout: float, dead: Connections | None = None) -> Connections | None:
        return None

    def _serve(self) -> None:
        self._become("ready")
        self._stopping.wait()


class Pool:
    """At most `most` workers at a time, of one `kind`. `module` is the program that a worker runs; tests give it
    another one."""

    def __init__(
        self, home: Path, *, most: int, region: str, module: str = SERVING_MODULE, kind: type[Worker] = Worker
    ) -> None:
        self.most = most
        self._kind = kind
        self._home = home
        self._region = region
        self._module = module
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._workers: list[Worker] = []
        self._closed = False
        shutil.rmtree(home, ignore_errors=True)  # what a server that was killed has left

    def acquire(self, order: Order) -> Worker:
        """A worker for `order`, a running one where there is one; give it back with `release`. Raises NoRoom."""
        with self._lock:
            for worker in self._workers:
                if worker.order.key == order.key and worker.state in ("starting", "ready") and worker.users:
                    worker.users += 1
                    return worker
            if self._closed or sum(1 for worker in self._workers if worker.users) >= self.most:
                raise NoRoom(
                    f"all {self.most} worker processes of the local AWS are in use; delete an endpoint, "
                    "or start it with more (local.max_workers)"
                )
            folder = self._home / f"{next(self._numbers)}-{order.key}"
            folder.mkdir(parents=True, mode=0o700)
            worker = self._kind(order, folder, module=self._module, region=self._region)
            worker.users = 1
            self._workers.append(worker)
            return worker

    def release(self, worker: Worker) -> None:
        """Give one use back; the last one ends the worker, and returns when it is gone."""
        with self._lock:
            worker.users -= 1
            if worker.users:
                return
        worker.stop()
        with self._lock:
            self._workers.remove(worker)

    def describe(self) -> list[dict[str, Any]]:
        """For `local status`."""
        with self._lock:
            return [worker.describe() for worker in self._workers]

    def close(self) -> None:
        """End all workers, together."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.signal_stop()
        for worker in workers:
            worker.stop()


def resident(pid: int) -> int:
    """The resident memory of a process in bytes; 0 where that cannot be read."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _ending(code: int) -> str:
    return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _port(ready: Path) -> int | None:
    try:
        return int(ready.read_text())
    except (OSError, ValueError):
        return None


def _healthy(port: int) -> bool:
    connections = Connections(HOST, port)
    try:
        return connections.request("GET", "/ping", timeout=PING_TIMEOUT).status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connections.close()
