"""Runs a program against a monitor, as often as wanted in one process."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

MIN_THREADS = 64
HIDDEN = {"pulumi", "asyncio"}
STDLIB = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120  (compared with texts)
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Evaluation:
    """A program and what it may know. `monitor` and `engine` are objects, or addresses of gRPC servers."""

    program: Callable[[], object]
    monitor: Any
    engine: Any
    project: str
    stack: str
    organization: str
    config: Mapping[str, str]
    secret_keys: frozenset[str]
    preview: bool
    parallel: int
    folder: Path | None


@dataclass(frozen=True)
class Raised:
    """What ended a program: the error, and its traceback down to the user's own lines."""

    error: BaseException
    trace: str
    by_program: bool


def evaluate(evaluation: Evaluation, stop: Callable[[], None]) -> Raised | None:
    """Run the program to its end and return what it raised, or None.

    It runs on a thread and an event loop of its own and in a fresh context, with the project's own modules forgotten
    before and after: else what they register when imported would be registered by the first evaluation of a process
    only, and the next `up` would delete it. Calls in flight when the program ends are awaited. When the waiting thread
    is interrupted, `stop` is called and what runs is awaited all the same.
    """
    result: list[Raised | None] = []

    def target() -> None:
        result.append(contextvars.Context().run(_run, evaluation))

    forget_modules(evaluation.folder)
    thread = threading.Thread(target=target, name="program")
    thread.start()
    try:
        thread.join()
    except BaseException:
        stop()
        thread.join()
        raise
    forget_modules(evaluation.folder)
    return result[0] if result else None


def forget_modules(folder: Path | None) -> None:
    """Drop the modules whose files lie in `folder` from the module cache, installed packages excepted."""
    if folder is None:
        return
    root = folder.resolve()
    for name, module in list(sys.modules.items()):
        if name == "__main__" or name.split(".", 1)[0] == "cloudmodel":
            continue
        place = _place(module)
        if place is not None and not _is_installed(place, root) and Path(place).resolve().is_relative_to(root):
            del sys.modules[name]


def _place(module: ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    place = file or next(iter(getattr(module, "__path__", None) or ()), None)
    return place if isinstance(place, str) else None


def _is_installed(place: str, root: Path) -> bool:
    """By the path as it is written: to resolve a thousand of them costs more than a small program does."""
    inside = place.removeprefix(str(root))
    return place.startswith(STDLIB) or any(f"{os.sep}{name}{os.sep}" in inside for name in INSTALLED)


def _run(evaluation: Evaluation) -> Raised | None:
    from pulumi.runtime import config, settings
    from pulumi.runtime.stack import run_in_stack

    settings.reset_options()
    settings.configure(
        settings.Settings(
            project=evaluation.project,
            stack=evaluation.stack,
            organization=evaluation.organization,
            monitor=evaluation.monitor,
            engine=evaluation.engine,
            parallel=evaluation.parallel,
            dry_run=evaluation.preview,
            root_directory=str(evaluation.folder) if evaluation.folder else None,
        )
    )
    config.set_all_config(dict(evaluation.config), sorted(evaluation.secret_keys))
    raised: list[BaseException] = []

    async def program() -> None:
        # The SDK starts waiting when this returns. Without the two turns of the loop its requests have not begun
        # yet, and it then waits for all outputs once per output: quadratic.
        try:
            result = evaluation.program()
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            raised.append(error)
            raise
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    threads = ThreadPoolExecutor(max(MIN_THREADS, 4 * evaluation.parallel), thread_name_prefix="monitor-call")
    loop = asyncio.new_event_loop()
    loop.set_default_executor(threads)
    loop.set_exception_handler(lambda _loop, _context: None)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(run_in_stack(program))
    except BaseException as error:  # whatever a program raises ends it, and is reported
        first = raised[0] if raised else error
        return Raised(error=first, trace=_trace(first), by_program=bool(raised))
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
    return None


def _trace(error: BaseException) -> str:
    """The traceback without the frames of this module and of the SDK, and without chained errors."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not HIDDEN.intersection(Path(frame.filename).parts)
    ]
    return "".join([*traceback.format_list(frames), *traceback.format_exception_only(error)]).rstrip()
