"""What the benchmarks share: a project with its local AWS, samples of wall and CPU time, medians, the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from cloudmodel.deploy.embedded import EmbeddedEngine
from cloudmodel.localaws import server as localaws
from cloudmodel.localaws.identity import Running
from cloudmodel.settings.load import load_project, load_stack

CLOUDMODEL = str(Path(sys.executable).parent / "cloudmodel")
# What is measured is an installed program, whose bytecode pip has written; without it half of a command is compiling.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
PACKAGES = ("pulumi", "pulumi-aws", "boto3", "moto", "onnxruntime", "numpy")


class Samples:
    """Wall and CPU seconds of one thing, measured round after round."""

    def __init__(self) -> None:
        self.walls: list[float] = []
        self.cpus: list[float] = []

    @contextlib.contextmanager
    def sample(self) -> Iterator[None]:
        """Time the block; CPU is this process's with all threads and of children that ended meanwhile."""
        wall, cpu = time.perf_counter(), _cpu()
        yield
        self.walls.append(time.perf_counter() - wall)
        self.cpus.append(_cpu() - cpu)

    @property
    def wall(self) -> float:
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus)

    def row(self, name: str) -> str:
        """A line of a table: medians, and the range of the wall time."""
        spread = f"[{min(self.walls):.2f}-{max(self.walls):.2f}]"
        return f"{name:44} {self.wall:7.3f} s {spread:14} {self.cpu:7.3f} s CPU"


class Project:
    """A project in a scratch folder. `cloud` is its local AWS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".cloudmodel" / "local"
        self.cloud: Running = localaws.start(self.home, region="us-east-1")

    def engine(self, stack: str = "local") -> EmbeddedEngine:
        """A new engine, as every command makes one."""
        project = load_project(self.folder)
        return EmbeddedEngine(project, load_stack(project, stack), stack)

    def forget(self) -> None:
        """An empty cloud and no state: the next `up` is a first one."""
        self.cloud = localaws.reset(self.home)
        shutil.rmtree(self.folder / ".cloudmodel" / "stacks", ignore_errors=True)


@contextlib.contextmanager
def project(template: str) -> Iterator[Project]:
    """A new project of a template, with its local AWS running; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cloudmodel-bench-") as scratch:
        folder = Path(scratch) / "bench"
        run("init", str(folder), "--template", template, "--name", "bench")
        made = Project(folder)
        try:
            yield made
        finally:
            localaws.stop(made.home)


def run(*arguments: str) -> None:
    """One command of the CLI, in a process of its own. Raises CalledProcessError."""
    subprocess.run([CLOUDMODEL, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)


def machine() -> str:
    """Where and when the numbers were made."""
    names = (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores ({next(names, platform.processor())}), "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {packages}; load average {load}"
    )


def verdict(held: bool) -> str:
    """How a bound fared."""
    return "held" if held else "MISSED"


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text().splitlines()
    return []


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
