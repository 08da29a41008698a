"""What `cloudmodel --help` costs, in bare interpreter starts: median CPU of 10 runs each, in turn, in one run.

.venv/bin/python benchmarks/cli_start.py [PROJECT]

With the folder of a project whose stack `local` stands, also what its commands cost that change nothing.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 10
CLOUDMODEL = str(Path(sys.executable).parent / "cloudmodel")
COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "click and rich": [sys.executable, "-c", "import click, rich.console"],
    "cloudmodel --help": [CLOUDMODEL, "--help"],
    "cloudmodel up --help": [CLOUDMODEL, "up", "--help"],
}
READING = ("local status", "outputs", "status", "preview")
"""Commands of a project that change nothing."""


def cpu(command: list[str]) -> float:
    """User and system seconds of one finished run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print each command's median CPU and its ratio to a bare interpreter."""
    commands = dict(COMMANDS)
    for project in sys.argv[1:]:
        commands |= {f"cloudmodel {verb}": [CLOUDMODEL, "-C", project, *verb.split()] for verb in READING}
    for command in commands.values():
        cpu(command)
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            samples[name].append(cpu(command))
    floor = statistics.median(samples["bare interpreter"])
    for name, values in samples.items():
        median = statistics.median(values)
        print(f"{name:22} {median * 1000:6.0f} ms CPU   {median / floor:5.1f} bare starts")


if __name__ == "__main__":
    main()
