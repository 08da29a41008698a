"""What the tests of `core.confined` let a child do; the child imports this from PYTHONPATH."""

from __future__ import annotations

import os
import socket
import urllib.request
from typing import Any

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Progress, Report


def environment(job: dict[str, Any], report: Report) -> dict[str, Any]:
    print("a library prints")
    report(Progress("work", 1, 2))
    return {"names": sorted(os.environ), "job": job, "folder": os.getcwd()}  # noqa: PTH109


def refuse(job: dict[str, Any], report: Report) -> dict[str, Any]:
    raise StepFailed("no", where="here", hint="do", details={"number": 1})


def ask(job: dict[str, Any], report: Report) -> dict[str, Any]:
    try:
        urllib.request.urlopen(job["url"], timeout=5)
    except OSError as error:
        return {"refused": str(error)}
    return {"refused": None}


def ask_below_python(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """A connection that Python's audit hooks do not see."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    with socket.socket() as plain:
        address = (2).to_bytes(2, "little") + int(job["port"]).to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
        return {"connected": library.connect(plain.fileno(), address, 16) == 0}


def hang(job: dict[str, Any], report: Report) -> dict[str, Any]:
    import threading

    threading.Event().wait()
    return {}


def crash(job: dict[str, Any], report: Report) -> dict[str, Any]:
    os.abort()


def eat(job: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"bytes": len(bytearray(int(job["bytes"])))}
