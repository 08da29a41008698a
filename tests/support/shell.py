"""A user's shell: whole commands, a process each."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warm_start

COMMAND = Path(sys.executable).parent / "cloudmodel"


@dataclass(frozen=True)
class Shell:
    """A user's shell in `folder`."""

    folder: Path
    environment: dict[str, str]
    command: Path = COMMAND

    def run(self, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run `cloudmodel WORDS...` to its end, whatever it answers; from a warm start where it is our own."""
        if self.command == COMMAND:
            return warm_start.run(
                self.command, words, folder=self.folder, environment=self.environment, stdin=stdin or b""
            )
        return subprocess.run(
            [self.command, *words], cwd=self.folder, env=self.environment, input=stdin or b"", capture_output=True,
            timeout=warm_start.PATIENCE, check=False,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `cloudmodel WORDS...` in a process group of its own."""
        return subprocess.Popen(
            [self.command, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def json(self, *words: str, code: int = 0, stdin: bytes | None = None) -> dict[str, Any]:
        """Run with `--json` and return the one document it printed; fails unless it exits with `code`."""
        done = self.run(*words, "--json", stdin=stdin)
        assert done.returncode == code, done.stdout.decode() + done.stderr.decode()
        document: dict[str, Any] = json.loads(done.stdout)
        return document


def lines_until(process: subprocess.Popen[bytes], wanted: str, count: int = 1) -> list[str]:
    """Read the process's stderr up to the `count`-th line that holds `wanted`; fails when the process ends before."""
    assert process.stderr is not None
    seen: list[str] = []
    for line in process.stderr:
        seen.append(line.decode())
        count -= wanted in seen[-1]
        if not count:
            return seen
    raise AssertionError(f"{wanted!r} was not said:\n" + "".join(seen))
