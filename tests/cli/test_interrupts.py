"""Ctrl-C once and twice, in a real process whose engine waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

PATIENCE = 60


@pytest.fixture
def start(project: Path, fake_cloudmodel: list[str]) -> Iterator[Any]:
    """Starts a command line on an engine with a scenario, and ends it after the test."""
    started: list[subprocess.Popen[str]] = []

    def run(scenario: str, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*fake_cloudmodel, *words],
            env={**os.environ, "FAKE_ENGINE": scenario},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def read_to(stream: IO[str] | None, text: str) -> str:
    """The lines of `stream` up to the one that has `text`; fails at the end of the stream."""
    assert stream is not None
    seen = ""
    for line in stream:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} is not in {seen!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_run_finish_what_it_began(start: Any, number: signal.Signals) -> None:
    process = start("patient", "up", "--yes")
    read_to(process.stderr, "models creating")
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 8
    assert "finishing what runs; press again to leave" in err
    assert " +  aws:s3:Bucket models created (0.50s)" in err
    assert err.endswith("error: stopped after 1 of 2 operations\n  next:  run it again to go on\n")
    assert "Traceback" not in err


def test_the_second_signal_leaves_at_once(start: Any) -> None:
    process = start("deaf", "up", "--yes")
    read_to(process.stderr, "models creating")
    process.send_signal(signal.SIGINT)
    read_to(process.stderr, "press again to leave")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 8
    assert err.endswith("error: left while operations were under way\n"
                        "  next:  run the same command again to finish them\n")  # fmt: skip


@pytest.mark.parametrize(("scenario", "signals"), [("patient", 1), ("deaf", 2)])
def test_a_cancelled_run_prints_one_document_too(start: Any, scenario: str, signals: int) -> None:
    process = start(scenario, "up", "--yes", "--json")
    read_to(process.stderr, "models creating")
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        read_to(process.stderr, "press again" if _ == 0 else "left while")
    out, _ = process.communicate(timeout=PATIENCE)
    document = json.loads(out)
    assert (document["schema"], document["code"], document["error"]) == ("cloudmodel.error/1", 8, "Cancelled")


def test_a_reader_of_stderr_that_left_does_not_stop_the_run(project: Path, fake_cloudmodel: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*fake_cloudmodel, "up", "--yes", "--json"],
        env={**os.environ, "FAKE_ENGINE": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=writing,
        check=False,
        timeout=PATIENCE,
    )
    os.close(writing)
    assert json.loads(done.stdout)["summary"]["create"] == 2
