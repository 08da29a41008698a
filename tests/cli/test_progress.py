"""Plain lines in a pipe, bars and questions on a terminal."""

from __future__ import annotations

import errno
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.cli.progress import Lines, reporting
from cloudmodel.core.progress import Progress

PATIENCE = 60
CTRL_C = "\x03"
# Ctrl-C reaches the process group that a terminal belongs to.
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def on_a_terminal(command: list[str], scenario: str, typed: str = "") -> tuple[int, str]:
    """The exit code and all that a terminal of 200 columns shows; `typed` is typed once something is asked."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "FAKE_ENGINE": scenario, "COLUMNS": "200", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    shown, answered = b"", not typed
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError as gone:
                    assert gone.errno == errno.EIO
                    piece = b""
                if not piece:
                    return process.wait(PATIENCE), shown.decode()
                shown += piece
            elif typed == CTRL_C:
                answered = False  # Python misses one that comes just before it waits: press again, as a person does
            if not answered and b"[y/N]" in shown:
                answered = True
                os.write(ours, typed.encode())
        raise AssertionError(f"the command neither went on nor ended: {shown.decode()}")
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def test_a_terminal_shows_colours_and_a_bar(project: Path, fake_cloudmodel: list[str]) -> None:
    code, shown = on_a_terminal([*fake_cloudmodel, "up", "--yes"], "")
    assert code == 0
    assert "\x1b[32m +  aws:s3:Bucket" in shown
    assert "resources" in shown
    assert "aws:s3:Bucket models created (0.44s)" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_no_color_is_heard(project: Path, fake_cloudmodel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    _, shown = on_a_terminal([*fake_cloudmodel, "preview"], "")
    assert "\x1b[32m" not in shown


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 8), ("\n", 8), (CTRL_C, 8), ("\x04", 8)])
def test_a_terminal_is_asked_before_a_change(project: Path, fake_cloudmodel: list[str], typed: str, code: int) -> None:
    ended, shown = on_a_terminal([*fake_cloudmodel, "up"], "", typed)
    assert "Update stack local (target local, region us-east-1)? [y/N]" in shown
    assert ended == code
    assert ("models created" in shown) == (code == 0)
    assert "Traceback" not in shown


def test_nothing_is_asked_where_nothing_changes(project: Path, fake_cloudmodel: list[str]) -> None:
    code, shown = on_a_terminal([*fake_cloudmodel, "up"], "same")
    assert code == 0
    assert "[y/N]" not in shown


@pytest.mark.parametrize("flag", ["--non-interactive", "--json"])
def test_nobody_is_asked_where_it_is_forbidden(project: Path, fake_cloudmodel: list[str], flag: str) -> None:
    code, shown = on_a_terminal([*fake_cloudmodel, "up", flag], "")
    assert code == 2
    assert "add --yes" in shown


def test_a_pipe_has_no_escape_codes(cli: Any, project: Path, fleet: Any) -> None:
    ran = cli("up", "--yes")
    assert "\x1b" not in ran.out + ran.err


def test_lines_tell_the_beginning_and_the_end_of_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting() as report:
        for done in range(5):
            report(Progress("upload", done, 4, f"part {done}"))
        report(Progress("scan", note="model.onnx"))
        report(Progress("scan", note="model.onnx"))
        report(Progress("scan", note="labels.txt"))
    assert capsys.readouterr().err == "upload\nupload: done\nscan: model.onnx\nscan: labels.txt\n"


def test_a_report_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("click.secho", gone)
    Lines()(Progress("upload", 1, 2))
