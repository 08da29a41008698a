"""Some tests need a program that is no Python package. Where there is none they are left out, and one line a marker
says how many: never silently. Where `CLOUDMODEL_EVERY_TEST` is set, as in `.ci/run`, none may be left out."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from terraform import VARIABLE, mirror

NEEDS: dict[str, tuple[Callable[[], object], str]] = {
    "official_engine": (lambda: shutil.which("pulumi"), "no pulumi here (`make engine` builds it with Go)"),
    "actionlint": (lambda: shutil.which("actionlint"), "no actionlint here (`make actionlint` builds it with Go)"),
    "java": (lambda: shutil.which("java"), "no Java here, which TorchServe runs on"),
    "terraform": (mirror, f"no terraform here, or {VARIABLE} names no mirror that holds its AWS provider"),
}
"""By marker: what finds the program, and what is said where there is none."""
EVERY = "CLOUDMODEL_EVERY_TEST"
# How long an example takes says how busy the machine is.
settings.register_profile("cloudmodel", deadline=None)
settings.load_profile("cloudmodel")
LEFT_OUT = pytest.StashKey[dict[str, int]]()


def pytest_configure() -> None:
    # The tests start a thousand processes: each would compile the whole of cloudmodel again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Looking for garbage every 700 objects among the classes of pulumi_aws is a sixth of what tests in process cost.
    gc.set_threshold(50_000)
    # What a shell starts in the background ignores Ctrl-C and hands that on: tests that press it would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lacking = [f"{marker}: {told}" for marker, (finds, told) in NEEDS.items() if not finds()]
    if lacking and os.environ.get(EVERY):
        raise pytest.UsageError(f"{EVERY} is set, and these tests would be left out:\n" + "\n".join(lacking))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto` is three workers on two cores: a third of the time the tests wait for processes and endpoints."""
    return max(1, 3 * (os.cpu_count() or 1) // 2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    counts: dict[str, int] = {}
    for marker, (finds, _) in NEEDS.items():
        if finds():
            continue
        left_out = [item for item in items if item.get_closest_marker(marker)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        counts[marker] = len(left_out)
    config.stash[LEFT_OUT] = counts
    if hasattr(config, "workeroutput"):  # a worker of pytest-xdist, whose collections are all the same
        config.workeroutput["left_out"] = counts


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {}).get("left_out")
    if told is not None:  # a worker that crashed tells nothing; all others tell the same
        node.config.stash[LEFT_OUT] = told


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for marker, count in config.stash.get(LEFT_OUT, {}).items():
        if count:
            terminalreporter.write_line(f"{count} tests marked {marker} are left out: {NEEDS[marker][1]}")
