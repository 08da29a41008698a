"""`up` of the reference stack (the digits template, packaged) against plain boto3 making the same calls.

    python benchmarks/up_reference.py

The calls are recorded during a first `up` and replayed by 8 threads, in the state's order of dependencies and with
the same waits, on the same local AWS, which forgets everything before each run. Three ways, in turn, round after
round: the engine, the replay, and the program's evaluation alone; each in this process with everything imported, and
each as a process of its own. Bound: 1.5 times the replay, plus the evaluation.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import evaluation
from bench import CLOUDMODEL, Project, Samples, machine, project, run, verdict
from cloudmodel.deploy.engines import Options
from floor import THREADS, Script, recording, standing

ROUNDS = 7
BOUND = 1.5
UP, PROGRAM, FLOOR, PREVIEW = "up", "evaluation alone", "plain boto3", "preview alone (a part of that up)"
HERE = Path(__file__).parent


def main() -> None:
    """Record, prove that the replay does the same, measure, judge."""
    print(f"{machine()}\n")
    with project("digits") as made:
        run("-C", str(made.folder), "package")
        made.engine().preview(Options(), lambda _: None)
        script = record(made)
        ways = in_process(made, script), as_processes(made, script)
        for title, way in zip(("in this process, warm", "as whole processes"), ways, strict=True):
            samples = measure(made, way)
            print(f"\n{title}: medians of {ROUNDS} rounds, wall [range] and CPU of the client")
            for name, sample in samples.items():
                print(sample.row(name))
            judge(samples)
    print(f"\n{machine()}")


def record(made: Project) -> Script:
    """The script of a first `up`. Raises AssertionError unless its replay makes as many calls and leaves the same."""
    made.forget()
    with recording() as calls:
        made.engine().up(Options(parallel=THREADS), lambda _: None)
    script = Script.of(calls, evaluation.state_of(made.folder, "local"))
    stands = standing(made.cloud.endpoint_url, made.cloud.region)
    made.forget()
    assert not any(standing(made.cloud.endpoint_url, made.cloud.region).values()), "the local AWS forgot everything"
    replayed = script.replay(made.cloud.endpoint_url, made.cloud.region)
    assert replayed.calls == script.count(), f"{replayed.calls} calls replayed, {script.count()} recorded"
    assert standing(made.cloud.endpoint_url, made.cloud.region) == stands
    asked = sum(call.asked for each in script.calls.values() for call in each)
    mutating = sum(call.mutating for each in script.calls.values() for call in each)
    print(
        f"recorded: {script.count()} calls for {len(script.needs)} resources, {mutating} of them mutating, and "
        f"{asked - script.count()} more questions while waiting; the replay makes as many calls "
        f"({replayed.asked - replayed.calls} more questions, {replayed.waited:.2f} s of waiting), and the same "
        f"{sum(map(len, stands.values()))} things stand"
    )
    return script


def in_process(made: Project, script: Script) -> dict[str, Callable[[], object]]:
    """The three ways, in this process."""
    return {
        UP: lambda: made.engine().up(Options(parallel=THREADS), lambda _: None),
        PROGRAM: lambda: evaluation.run(made.folder, "local", evaluation.state_of(made.folder, "local")),
        FLOOR: lambda: script.replay(made.cloud.endpoint_url, made.cloud.region),
    }


def as_processes(made: Project, script: Script) -> dict[str, Callable[[], object]]:
    """The three ways, each a new process; the CLI's `up` is a preview that it shows, and then the update."""
    saved = made.folder.parent / "script.pickle"
    saved.write_bytes(pickle.dumps(script))

    def process(*command: str) -> Callable[[], object]:
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return {
        UP: process(CLOUDMODEL, "-C", str(made.folder), "up", "--yes"),
        PROGRAM: process(sys.executable, str(HERE / "evaluation.py"), str(made.folder)),
        FLOOR: process(sys.executable, str(HERE / "floor.py"), str(saved), made.cloud.endpoint_url, made.cloud.region),
        PREVIEW: process(CLOUDMODEL, "-C", str(made.folder), "preview"),
    }


def measure(made: Project, ways: dict[str, Callable[[], object]]) -> dict[str, Samples]:
    """Every way in every round; the evaluation comes after the `up` whose state it needs."""
    samples = {name: Samples() for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            if name != PROGRAM:
                made.forget()
            with samples[name].sample():
                way()
    return samples


def judge(samples: dict[str, Samples]) -> None:
    """Print the ratios and whether the bound holds."""
    up, program, floor = samples[UP], samples[PROGRAM], samples[FLOOR]
    allowed = BOUND * floor.wall + program.wall
    print(
        f"up / boto3 = {up.wall / floor.wall:.2f}; without the evaluation {(up.wall - program.wall) / floor.wall:.2f}; "
        f"allowed {BOUND} x {floor.wall:.3f} + {program.wall:.3f} = {allowed:.3f} s, took {up.wall:.3f} s: "
        f"{verdict(up.wall <= allowed)}"
    )


if __name__ == "__main__":
    main()
