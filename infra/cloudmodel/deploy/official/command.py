"""One run of Pulumi's command line, in a process group of its own, so that Ctrl-C reaches it once and from us only."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from pulumi.automation import CommandResult, InvalidVersionError, PulumiCommand
from pulumi.automation.errors import create_command_error

from cloudmodel.core.errors import Cancelled, UsageError
from cloudmodel.deploy.official.cli import manual

Line = Callable[[str], object]
# What `stop` ends, and what does not begin after it; questions about the state are answered all the same.
RUNS = ("preview", "up", "refresh", "destroy")


class Command(PulumiCommand):
    """What the Automation API runs the CLI with. Raises UsageError for a CLI that is too old or does not run."""

    def __init__(self, path: Path) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopped = False
        try:
            super().__init__(root=str(path.parent.parent) if path.parent.name == "bin" else None)
        except (InvalidVersionError, OSError, subprocess.SubprocessError) as error:
            raise UsageError(
                f"Pulumi's command line cannot be used: {error}", where=str(path), hint=f"install one: {manual()}"
            ) from None
        self.command = str(path)
        self._path = os.pathsep.join((str(path.parent), os.environ.get("PATH", "")))  # its own plugins lie beside it

    def stop(self) -> None:
        """Let the running command finish what it began and start nothing more."""
        with self._lock:
            if not self._stopped and self._running and self._running.poll() is None:
                self._running.send_signal(signal.SIGINT)
            self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Line | None = None,
        on_error: Line | None = None,
    ) -> CommandResult:
        """Run `pulumi ARGS`. Raises CommandError when it fails, Cancelled when it was stopped before it started."""
        with self._lock:
            if self._stopped and args[0] in RUNS:
                raise Cancelled("the run was stopped before it began")
            process = subprocess.Popen(
                [self.command, "--non-interactive", *args],
                cwd=cwd,
                env={**os.environ, "PATH": self._path, **additional_env, "PULUMI_AUTOMATION_API": "true"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._running = process if args[0] in RUNS else None
        lines: tuple[list[str], list[str]] = ([], [])
        assert process.stdout and process.stderr
        readers = [
            threading.Thread(target=_read, args=(stream, kept, listener))
            for stream, kept, listener in zip(
                (process.stdout, process.stderr), lines, (on_output, on_error), strict=True
            )
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        result = CommandResult(stdout="\n".join(lines[0]), stderr="\n".join(lines[1]), code=process.wait())
        if result.code != 0:
            raise create_command_error(result)
        return result


def _read(stream: IO[str], kept: list[str], listener: Line | None) -> None:
    for line in stream:
        text = line.rstrip()
        kept.append(text)
        if listener:
            listener(text)
    stream.close()
