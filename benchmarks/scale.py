"""500 resources that need no worker against plain boto3; no-op previews from 25 to 1,000 resources.

    python benchmarks/scale.py

The program declares log groups, topics, and alarms that name a topic, in components of ten resources. One stack for
each size; all stand on one local AWS. Bounds: `up` of 500 at most 3 times the replay of its calls by as many threads;
a no-op preview makes no mutating call at any size and its time grows linearly.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import evaluation
from bench import Project, Samples, machine, project, verdict
from cloudmodel.deploy.engines import Options
from cloudmodel.engine.step import Op
from floor import THREADS, Script, recording, standing

SIZES = (25, 100, 250, 500, 1000)
COMPARED = 500
ROUNDS = 5
BOUND = 3.0
STEEPER = 1.25  # a marginal resource at the upper end against one at the lower end; quadratic growth would be over 3
PROGRAM = """
import pulumi
import pulumi_aws as aws

stack = pulumi.get_stack()


def block(number, count):
    component = pulumi.ComponentResource("bench:index:Block", f"block-{number}")
    inside = pulumi.ResourceOptions(parent=component)
    topic = aws.sns.Topic(f"topic-{number}", name=f"{stack}-topic-{number}", opts=inside)
    for index in range(1, count):
        name = f"{stack}-{number}-{index}"
        if index % 3:
            aws.cloudwatch.LogGroup(name, name=f"/bench/{name}", retention_in_days=7, opts=inside)
        else:
            aws.cloudwatch.MetricAlarm(
                name, name=name, namespace="bench", metric_name="Errors", statistic="Sum", period=60,
                threshold=1, evaluation_periods=1, comparison_operator="GreaterThanThreshold",
                alarm_actions=[topic.arn], opts=inside,
            )


size = int(stack.removeprefix("n"))
for first in range(0, size, 10):
    block(first // 10, min(10, size - first))
"""


def main() -> None:
    """Both measurements."""
    print(f"{machine()}\n")
    with project("blank") as made:
        (made.folder / "__main__.py").write_text(PROGRAM)
        settings = (made.folder / "Pulumi.local.yaml").read_text()
        for size in SIZES:
            (made.folder / f"Pulumi.n{size}.yaml").write_text(settings)
        against_boto3(made)
        print(f"\n{machine()}\n")
        previews(made)
    print(f"\n{machine()}")


def against_boto3(made: Project) -> None:
    """`up` of COMPARED resources and the replay of its calls, in turn."""
    stack = f"n{COMPARED}"
    samples = {name: Samples() for name in ("up", "evaluation alone", "no-op up", "plain boto3")}
    made.forget()
    with recording() as calls:
        outcome = made.engine(stack).up(Options(parallel=THREADS), lambda _: None)
    assert sum(step.op is Op.CREATE and step.type.startswith("aws:") for step in outcome.steps) == COMPARED
    state = evaluation.state_of(made.folder, stack)
    script = Script.of(calls, state)
    stands = standing(made.cloud.endpoint_url, made.cloud.region)
    for _ in range(ROUNDS):
        made.forget()
        with samples["up"].sample():
            made.engine(stack).up(Options(parallel=THREADS), lambda _: None)
        with samples["evaluation alone"].sample():
            evaluation.run(made.folder, stack, state)
        with samples["no-op up"].sample():
            again = made.engine(stack).up(Options(parallel=THREADS, expect_no_changes=True), lambda _: None)
        assert not again.changes
        made.forget()
        with samples["plain boto3"].sample():
            replayed = script.replay(made.cloud.endpoint_url, made.cloud.region)
        assert replayed.calls == script.count(), f"{replayed.calls} calls replayed, {script.count()} recorded"
        assert standing(made.cloud.endpoint_url, made.cloud.region) == stands
    kinds = Counter(call.operation for each in script.calls.values() for call in each)
    print(f"{COMPARED} resources: {script.count()} calls each way ({dict(kinds.most_common())}), {THREADS} threads")
    print(f"medians of {ROUNDS} rounds in turn, wall [range] and CPU of the client")
    for name, sample in samples.items():
        print(sample.row(name))
    up, floor = samples["up"], samples["plain boto3"]
    ratio = up.wall / floor.wall
    print(f"up / boto3 = {ratio:.2f} (CPU {up.cpu / floor.cpu:.2f}); allowed {BOUND}: {verdict(ratio <= BOUND)}")


def previews(made: Project) -> None:
    """No-op previews of every size, in turn, and what they asked of the cloud."""
    made.forget()
    for size in SIZES:
        made.engine(f"n{size}").up(Options(parallel=THREADS), lambda _: None)
    samples = {size: Samples() for size in SIZES}
    asked: dict[int, Counter[tuple[str, bool]]] = {size: Counter() for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            with recording() as calls, samples[size].sample():
                outcome = made.engine(f"n{size}").preview(Options(expect_no_changes=True), lambda _: None)
            assert outcome.summary["same"] >= size
            asked[size].update((f"{call.service} {call.operation}", call.mutating) for call in calls)
    print(f"no-op preview: medians of {ROUNDS} rounds in turn, wall [range] and CPU")
    for size, sample in samples.items():
        print(sample.row(f"{size} resources ({sample.wall / size * 1000:.2f} ms each)"))
    mutating = sum(count for each in asked.values() for (_, changes), count in each.items() if changes)
    every = sum((each for each in asked.values()), Counter[tuple[str, bool]]())
    print(f"calls in all {ROUNDS * len(SIZES)} previews: { {name: count for (name, _), count in every.items()} }")
    print(f"mutating calls: {mutating}: {verdict(mutating == 0)}")
    steps = list(pairwise(SIZES))
    marginal = [(samples[more].cpu - samples[less].cpu) / (more - less) * 1000 for less, more in steps]
    for (less, more), each in zip(steps, marginal, strict=True):
        print(f"CPU of one more resource between {less} and {more}: {each:.2f} ms")
    growth = marginal[-1] / ((samples[250].cpu - samples[25].cpu) / 225 * 1000)
    print(f"above 500 against below 250: {growth:.2f} (linear: at most {STEEPER}): {verdict(growth <= STEEPER)}")


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"took {time.monotonic() - began:.0f} s")
