"""Runs a module as `__main__`, tied to the process that started it: `python -m cloudmodel.localaws.tether MODULE ARG…`.

Standard input is a pipe whose other end only the parent holds. When the parent ends in whatever way, the pipe ends,
and then this process and everything it started are killed at once.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _tie(pipe: int) -> None:
    while os.read(pipe, 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Tie, then become the module."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_tie, args=(pipe,), name="tether", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
