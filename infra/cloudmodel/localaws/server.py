"""Start, find and stop the local AWS of a project. Its process is `python -m cloudmodel.localaws.server --home …`.

Any access key may talk to it, on 127.0.0.1 only. It survives the command that started it; nothing else does.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from cloudmodel.core.errors import LocalCloudUnavailable
from cloudmodel.core.files import private_folder
from cloudmodel.localaws import host
from cloudmodel.localaws.identity import FILE, HOST, Record, Running, listener, read

MAX_WORKERS = max(4, os.cpu_count() or 1)
STARTUP = 60.0
SHUTDOWN = 30.0
ANSWER = 10.0
DYING = 5.0
LOG_LINES = 12
LEAST_SPACE = 1 << 16


def start(
    home: Path,
    *,
    region: str,
    port: int | None = None,
    max_workers: int = MAX_WORKERS,
    options: Sequence[str] = (),
) -> Running:
    """The local AWS of `home`: the one that runs, else a new one, which answers when this returns.

    `port` None takes a free one. `options` are further arguments of the process (`host._parser`).
    Raises LocalCloudUnavailable: the port is taken, the process died, a running one does not answer.
    """
    private_folder(home)
    with _alone(home):
        running = status(home)
        if running is None:
            return _launch(home, region, port or 0, max_workers, options)
    if port and running.endpoint_url != f"http://{HOST}:{port}":
        raise LocalCloudUnavailable(
            f"the local AWS already runs at {running.endpoint_url} (process {running.pid})",
            where=f"{HOST}:{port}",
            hint="cloudmodel local stop, then start it again with --port",
        )
    return running


def status(home: Path) -> Running | None:
    """The local AWS of `home`, None where none runs. Raises LocalCloudUnavailable for one that does not answer."""
    found = _find(home)
    return found[0].running if found else None


def report(home: Path) -> dict[str, Any] | None:
    """What the running local AWS tells of itself: endpoints, workers, memory. None where none runs."""
    found = _find(home)
    return found[1] if found else None


def stop(home: Path) -> bool:
    """End the local AWS and its workers; whether there was one."""
    if not home.is_dir():
        return False
    with _alone(home):
        record = read(home)
        if record is None or not record.alive:
            (home / FILE).unlink(missing_ok=True)
            return False
        for number, patience in ((signal.SIGTERM, SHUTDOWN), (signal.SIGKILL, SHUTDOWN)):
            try:
                os.kill(record.pid, number)
            except ProcessLookupError:
                break
            if _ends(record, within=patience):
                break
        (home / FILE).unlink(missing_ok=True)
        return True


def reset(home: Path) -> Running:
    """Let the running local AWS forget everything; it is another instance then. Raises LocalCloudUnavailable."""
    record = read(home)
    if record is None or not record.alive:
        raise LocalCloudUnavailable("no local AWS runs", where=str(home), hint="cloudmodel local start")
    _ask(record, "/_cloudmodel/reset", {"x-cloudmodel-instance": record.instance_id}, method="POST")
    renamed = read(home)
    assert renamed is not None
    return renamed.running


def set_clock(home: Path, *, speed: float | None = None, forward: float = 0.0) -> float:
    """Let the clock of the running local AWS go at `speed` (0: it stands still) and put it forward by that many
    seconds; what it shows then, in seconds since 1970. Raises LocalCloudUnavailable."""
    record = read(home)
    if record is None or not record.alive:
        raise LocalCloudUnavailable("no local AWS runs", where=str(home), hint="cloudmodel local start")
    wish = json.dumps({"speed": speed, "forward": forward}).encode()
    answer = _ask(record, "/_cloudmodel/clock", {"x-cloudmodel-instance": record.instance_id}, method="POST", body=wish)
    return float(answer["now"])


def _find(home: Path) -> tuple[Record, dict[str, Any]] | None:
    record = read(home)
    if record is None or not record.alive:
        return None
    try:
        document = _ask(record, "/_cloudmodel/status")
    except LocalCloudUnavailable:
        # A killed process closes its connections before the system lists it as ended.
        if _ends(record, within=DYING):
            return None
        raise
    if document.get("pid") != record.pid:
        return None
    return record, document


def _ends(record: Record, within: float) -> bool:
    """Whether the process of `record` has ended, or does within that many seconds."""
    deadline = time.monotonic() + within
    while record.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _ask(
    record: Record, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
) -> dict[str, Any]:
    url = record.running.endpoint_url + path
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310  (our own address)
    # No proxy of the environment may stand between us and this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except (OSError, ValueError) as error:
        raise LocalCloudUnavailable(
            f"the local AWS (process {record.pid}) does not answer: {error}",
            where=record.running.endpoint_url,
            hint="cloudmodel local stop, then try again",
        ) from error


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody else starts or stops the local AWS of `home` meanwhile."""
    try:
        with filelock.FileLock(home / "start.lock", timeout=STARTUP + SHUTDOWN):
            yield
    except filelock.Timeout as error:
        raise LocalCloudUnavailable(
            "another command is starting or stopping the local AWS", where=str(home / "start.lock"), hint="try again"
        ) from error


def _launch(home: Path, region: str, port: int, max_workers: int, options: Sequence[str]) -> Running:
    log = home / "server.log"
    if log.exists():
        log.replace(home / "server.log.1")
    ours, theirs = os.pipe()
    command = [sys.executable, "-P", "-m", "cloudmodel.localaws.server", "--home", str(home.resolve())]
    command += ["--region", region, "--port", str(port), "--max-workers", str(max_workers)]
    command += ["--ready-fd", str(theirs), *options]
    with log.open("ab") as output, os.fdopen(ours, "rb", buffering=0) as ready:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                pass_fds=(theirs,),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        # A server that ends while this process lives shall not stay behind as a zombie.
        threading.Thread(target=process.wait, name="local AWS", daemon=True).start()
        # A byte when it answers; the end of the pipe when it died.
        poll = select.poll()  # not select(), which knows no descriptor above 1023
        poll.register(ready, select.POLLIN)
        heard = poll.poll(STARTUP * 1000) and ready.read(1)
    record = read(home)
    if heard and record is not None and record.pid == process.pid:
        return record.running
    process.kill()
    raise _failure(home, port, process.wait())


def _failure(home: Path, port: int, code: int) -> LocalCloudUnavailable:
    if code == host.PORT_TAKEN:
        who = listener(port)
        return LocalCloudUnavailable(
            f"port {port} is taken" + (f" by {who}" if who else ""),
            where=f"{HOST}:{port}",
            hint="leave the port out to take a free one, or stop what holds it",
        )
    if shutil.disk_usage(home).free < LEAST_SPACE:
        return LocalCloudUnavailable(
            "the local AWS did not start: no space is left on the disk", where=str(home), hint="make room there"
        )
    log = home / "server.log"
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return LocalCloudUnavailable(
        "\n".join([f"the local AWS did not start (exit code {code}); its last lines:", *lines]),
        where=str(log),
        hint="cloudmodel doctor",
    )


def _environment() -> dict[str, str]:
    """The environment without what belongs to the user's real cloud, or changes how moto behaves."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_", "PULUMI_", "S3_"))
    }


if __name__ == "__main__":
    sys.exit(host.main())
