"""The child of `core.confined`: shuts itself in, calls the function, and says what came of it on its first stdout."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from cloudmodel.core.errors import ChildDied, CloudmodelError
from cloudmodel.core.progress import Progress

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h
DIE_WITH_PARENT = 1  # linux/prctl.h: PR_SET_PDEATHSIG
LARGEST_FILE = 64 << 30
REFUSED = frozenset({"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})


def main() -> int:
    """Read the job from stdin and write progress and the answer as lines of JSON."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to the log
    message = json.loads(sys.stdin.read())
    confine(message["limits"])

    def say(document: dict[str, Any]) -> None:
        channel.write(json.dumps(document) + "\n")

    def report(progress: Progress, /) -> None:
        say(
            {"progress": {"task": progress.task, "done": progress.done, "total": progress.total, "note": progress.note}}
        )

    try:
        say({"result": _function(sys.argv[1])(message["job"], report)})
    except CloudmodelError as error:
        say({"error": error.as_json()})
    except MemoryError:
        say({"error": ChildDied("It ran out of memory", hint="free some memory, or use a smaller model").as_json()})
    return 0


def confine(limits: dict[str, int]) -> None:
    """No network (an empty one where the kernel gives it to users, and Python's sockets refuse in any case), no core
    files, bounded data; dies when the parent dies."""
    library = ctypes.CDLL(None, use_errno=True)
    with suppress(AttributeError):
        library.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        library.unshare(NEW_USER | NEW_NETWORK)
    if os.getppid() != limits["parent"]:
        os._exit(1)  # the parent died before the line above
    sys.addaudithook(_refuse)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, most in ((resource.RLIMIT_DATA, limits["memory"]), (resource.RLIMIT_FSIZE, LARGEST_FILE)):
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, hard))


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in REFUSED:
        # A socket of this machine's own file system is no network.
        if event in ("socket.connect", "socket.bind") and isinstance(arguments[1], str | bytes):
            return
        raise PermissionError(f"{event}: this process has no network")


def _function(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


if __name__ == "__main__":
    sys.exit(main())
