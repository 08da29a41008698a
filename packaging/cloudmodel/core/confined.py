"""Work in a child process that has no network, no credentials, and limits of time and memory.

    answer = confined.run("cloudmodel.optimize.trial:run", job, folder=scratch, seconds=60)

What runs there may crash, hang or eat the memory: the parent learns why and goes on. The child dies with its parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from cloudmodel.core import errors
from cloudmodel.core.progress import Progress, Report, silent

KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "CUDA_VISIBLE_DEVICES")
"""What a child sees of the environment: no credentials, no proxies, no home."""
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
           "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
"""Threads that spin while they wait make everything else on the machine many times slower."""
LOG = "child.log"
LAST = 400


def run(
    function: str,
    job: Mapping[str, Any],
    *,
    folder: Path,
    seconds: float,
    memory: int | None = None,
    environment: Mapping[str, str] | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """What `module:function` returns for `job`, called in a child whose working folder, home and temporary folder is
    `folder`; job and answer are JSON. The function is called with (job, report).

    `memory` in bytes bounds its data, by default 80 % of the machine's. What it prints goes to `folder`/child.log.
    Raises the child's own CloudmodelError; ChildDied where it crashed, ran longer than `seconds` or out of memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-s", "-m", "cloudmodel.core.confined_child", function]
    with (folder / LOG).open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder, text=True,
            env=_environment(folder, environment or {}), start_new_session=True,
        )  # fmt: skip
    limits = {"memory": memory or memory_limit(), "parent": os.getpid()}
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill(child)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        answer = _talk(child, {"job": dict(job), "limits": limits}, report)
    finally:
        timer.cancel()
        _kill(child)
    if expired.is_set() or answer is None:
        raise _died(child.returncode, seconds if expired.is_set() else None, folder / LOG, function)
    if "error" in answer:
        raise _raised(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result


def memory_limit() -> int:
    """80 % of the memory that this process may use, in bytes: the machine's, or its container's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total * 8 // 10


def bare() -> dict[str, str]:
    """What of this process' environment a child may see."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    place = str(folder)
    own = {"HOME": place, "TMPDIR": place, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**bare(), **PASSIVE, **own, **more}


def _talk(child: subprocess.Popen[str], message: Mapping[str, Any], report: Report) -> dict[str, Any] | None:
    """Send the job, pass on progress, return the last word; None where the child ended without one."""
    assert child.stdin is not None
    assert child.stdout is not None
    threading.Thread(target=_send, args=(child.stdin, json.dumps(message)), daemon=True).start()
    for line in child.stdout:
        try:
            said = json.loads(line)
        except ValueError:
            return None
        if "progress" in said:
            report(Progress(**said["progress"]))
        else:
            child.wait()
            answer: dict[str, Any] = said
            return answer
    child.wait()
    return None


def _send(stdin: IO[str], text: str) -> None:
    try:
        stdin.write(text)
        stdin.close()
    except OSError:
        return  # it died before it read; its exit code says why


def _kill(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _died(code: int | None, seconds: float | None, log: Path, function: str) -> errors.ChildDied:
    if seconds is not None:
        return errors.ChildDied(f"It took longer than {seconds:.0f} s", where=function, hint="give it more time")
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = lines[-1][:LAST] if lines else ""
    said = f": {last}" if last else ""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "free some memory, or use a smaller model" if name == "SIGKILL" else None
        return errors.ChildDied(f"The process was ended by {name}{said}", where=function, hint=hint)
    return errors.ChildDied(f"The process ended with {code}{said}", where=function)


def _raised(document: Mapping[str, Any]) -> errors.CloudmodelError:
    kind = getattr(errors, document["error"], errors.CloudmodelError)
    raised: errors.CloudmodelError = kind(
        document["message"], where=document["where"], hint=document["hint"], details=document.get("details")
    )
    return raised
