"""A terminal in this process: `cloudmodel` without a process of its own, anything else by bash."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cloudmodel.cli.main import answer
from shell import COMMAND

OURS = ("AWS_", "PULUMI_", "CLOUDMODEL_")


@dataclass
class Terminal:
    """A person's terminal in `folder`, without any setting of this machine; `variables` are what was exported in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, line: str) -> tuple[int, str]:
        """Type `line`; returns the exit code and what was printed, stdout and stderr in their order."""
        words = shlex.split(line)
        if words[0] != "cloudmodel" or any(sign in line for sign in "|<>$;&*"):
            return self._by_bash(line)
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with (
            _only(self.environment()),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            code = answer(words[1:])
        assert isinstance(printed.buffer, io.BytesIO)
        return code, printed.buffer.getvalue().decode()

    def environment(self) -> dict[str, str]:
        """The variables of what is typed here."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        path = f"{COMMAND.parent}{os.pathsep}{kept.get('PATH', '')}"
        return kept | {"PATH": path, "NO_COLOR": "1", "TERM": "dumb"} | self.variables

    def _by_bash(self, line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode()


@contextlib.contextmanager
def _only(environment: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
