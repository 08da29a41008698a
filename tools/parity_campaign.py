"""Random programs on both engines, as many as wanted: `make campaign`. Writes what it found, with a date.

The file is written anew after each group, so that an interrupted campaign keeps what it compared.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from both_engines import Embedded, official
from cloudmodel.deploy.official import cli
from parity import Life
from random_programs import SIDE_BY_SIDE, Found, compared

FOLDER = Path(__file__).parent.parent / "tests/parity"


def main() -> int:
    """Run the seeds that were asked for; 1 where the engines differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    asked = parser.parse_args()
    started = time.monotonic()
    file = FOLDER / f"campaign-{datetime.now(UTC):%Y-%m-%d}.json"
    done: list[Found] = []
    # Not forked: a gRPC server does not live through that.
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        groups = [pool.submit(group, first) for first in range(asked.first, asked.first + asked.programs, SIDE_BY_SIDE)]
        for each in as_completed(groups):
            done = sorted((*done, each.result()), key=lambda found: found.seeds)
            report = summary(done, seconds=time.monotonic() - started)
            file.write_text(json.dumps(report, indent=2) + "\n")
            lines = "".join(f"  {line}\n" for line in each.result().differences)
            sys.stderr.write(f"{report['programs']} programs\n{lines}")
    sys.stderr.write(f"written to {file}\n")
    return 1 if any(found.differences for found in done) else 0


def group(first: int) -> Found:
    """The programs that are lived side by side, on engines of their own."""
    with tempfile.TemporaryDirectory() as folder, official(Path(folder) / "stack") as theirs:
        return compared(Life(Embedded("embedded", secrets=theirs.secrets), theirs), range(first, first + SIDE_BY_SIDE))


def summary(done: list[Found], *, seconds: float) -> dict[str, Any]:
    """The report of all groups."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": {
            "pulumi CLI": cli.describe()["version"],
            **{name: version(name) for name in ("pulumi", "pulumi-aws", "cloudmodel")},
            "python": sys.version.split()[0],
        },
        "seeds": [done[0].seeds[0], done[-1].seeds[-1]],
        "programs": sum(found.programs for found in done),
        "steps compared": sum(found.steps for found in done),
        "differences": [line for found in done for line in found.differences],
        "seconds": round(seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
