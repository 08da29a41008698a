"""Random programs for both engines: the same seed gives the same life."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lifecycles import Node, Program, Revision
from parity import LANES, Life

NAMES = "abcdefghijkl"
SIDE_BY_SIDE = 10
"""Programs in one run: the official engine takes little longer for ten than for one."""
FAILURES = 4
"""In as many of them something fails: a failing call waits for the others, and Pulumi's SDK makes few at once."""


@dataclass(frozen=True)
class Found:
    """What one group of programs gave."""

    seeds: tuple[int, ...]
    programs: int
    steps: int
    differences: tuple[str, ...]


Uses = dict[str, set[str]]
"""By name: what a resource has ever used, directly or not."""


def nodes(dice: random.Random, order: list[str], ever: Uses, *, protect: float = 0) -> tuple[Node, ...]:
    """3 to 12 resources, some in components, each using earlier ones in a property that updates or one that replaces.

    `protect` is how likely each is protected. What once used another waits for it ever after: whether a replacement
    that deletes first still meets its former users is chance in Pulumi's engine, too.
    """
    made: list[Node] = []
    boxes: list[Node] = []
    chosen = set(dice.sample(order, dice.randint(3, 12)))
    for name in (each for each in order if each in chosen):
        uses: dict[str, str] = {}
        depends = sorted(ever[name] & {node.name for node in made})
        for used in dice.sample(made, min(len(made), dice.choice((0, 0, 1, 1, 2)))):
            how = dice.choice(("color", "kind", "zone", "depends"))
            if how == "depends":
                depends.append(used.name)
            else:
                uses[how] = used.name
        props: dict[str, Any] = {}
        for key, values in {"size": (0, 1, 2), "kind": ("x", "y"), "zone": ("x", "y"), "tags": ({}, {"x": 1})}.items():
            if key not in uses and dice.random() < 0.4:
                props[key] = dice.choice(values)
        options: dict[str, Any] = {}
        if dice.random() < 0.2:
            options["delete_before_replace"] = dice.random() < 0.5
        if dice.random() < 0.1:
            options["retain_on_delete"] = True
        if dice.random() < 0.1:
            options["ignore_changes"] = ["size"]
        if dice.random() < 0.1:
            options["replace_on_changes"] = ["size"]
        if dice.random() < protect:
            options["protect"] = True
        box = dice.choice(("", "", "", "one", "two"))
        if box and box not in {each.name for each in boxes}:
            boxes.append(Node(box, kind="box"))
        secrets = {"password": f"pw{dice.randint(0, 1)}"} if dice.random() < 0.3 else {}
        made.append(Node(name, props, uses, secrets, parent=box, depends=tuple(depends), options=options))
        for needed in (*uses.values(), *depends):
            ever[name] |= {needed} | ever[needed]
    return (*boxes, *made)


def program_of(seed: int) -> Program:
    """A program, another one over the same names, and a third one with some resources protected."""
    dice = random.Random(seed)
    order = dice.sample(NAMES, len(NAMES))
    ever: Uses = {name: set() for name in NAMES}
    revisions = tuple(Revision(nodes(dice, order, ever, protect=protect)) for protect in (0, 0, 0.15))
    return Program(f"seed {seed}", revisions)


def compared(life: Life, seeds: Iterable[int]) -> Found:
    """Live the programs of `seeds` side by side on both engines; what differs.

    Made; changed; changed again with failures on the way; repaired; the states moved; taken down but for what is
    protected.
    """
    seeds = tuple(seeds)
    programs = {lane: program_of(seed) for lane, seed in zip(LANES, seeds, strict=False)}
    found: list[str] = []

    def run(what: str, lanes: dict[str, Revision]) -> None:
        found.extend(f"seeds {seeds[0]} to {seeds[-1]}, {what}: {line}" for line in life.run(lanes))

    first, second, third = ({lane: each.revisions[n] for lane, each in programs.items()} for n in range(3))
    run("made", first)
    run("changed", second)
    run("failed", _with_failures(life, third, random.Random(seeds[0])))
    run("repaired", third)
    now, then = ({lane: revision.nodes for lane, revision in lanes.items()} for lanes in (third, second))
    found.extend(f"seeds {seeds[0]} to {seeds[-1]}, moved: {line}" for line in life.moved(now, then))
    run("taken down", {"": Revision(verb="destroy")})
    return Found(seeds, len(programs), life.steps, tuple(found))


def _with_failures(life: Life, lanes: dict[str, Revision], dice: random.Random) -> dict[str, Revision]:
    """In some lanes one of the calls that the run would make fails, or makes what then is not ready."""
    calls = life.calls(lanes)
    result = dict(lanes)
    for lane in dice.sample(sorted(lanes), min(len(lanes), FAILURES)):
        revision = lanes[lane]
        own = [(verb, name.removeprefix(f"{lane}-")) for verb, name in calls if name.startswith(f"{lane}-")]
        if own:
            call = frozenset({dice.choice(own)})
            unready = dice.random() < 0.3
            result[lane] = replace(revision, unready=call) if unready else replace(revision, fail=call)
    return result
