"""I3, I4, I5, I8, I9: random programs with random failures leave sound states, and a rerun converges."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudmodel.engine import normal, secrets
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.secrets import Passphrase, Secrets
from cloudmodel.engine.state import State

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")


@st.composite
def programs(draw: Any) -> list[dict[str, Any]]:
    """3 to 12 resources; each may use earlier ones, in a property that updates or one that replaces."""
    order = draw(st.permutations(NAMES))[: draw(st.integers(3, 12))]
    result = []
    for index, name in enumerate(order):
        uses = draw(st.lists(st.sampled_from(order[:index]), max_size=2, unique=True)) if index else []
        result.append(
            {
                "name": name,
                "uses": {use: draw(st.sampled_from(["color", "kind", "zone", "depends"])) for use in uses},
                "props": draw(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "size": st.integers(0, 2),
                            "kind0": st.booleans(),
                            "kind": st.sampled_from(["x", "y"]),
                            "zone": st.sampled_from(["x", "y"]),
                        },
                    )
                ),
                "secret": draw(st.booleans()),
                "box": draw(st.sampled_from([None, None, "one", "two"])),
                "before": draw(st.sampled_from([None, None, True, False])),
            }
        )
    return result


def build(kit: Any, plan: list[dict[str, Any]]) -> None:
    made: dict[str, Any] = {}
    boxes: dict[str, Any] = {}
    for item in plan:
        parent = None
        if item["box"]:
            parent = boxes.get(item["box"]) or pulumi.ComponentResource("test:index:Bag", item["box"])
            boxes[item["box"]] = parent
        props = dict(item["props"])
        depends = []
        for use, how in item["uses"].items():
            if how == "depends":
                depends.append(made[use])
            else:
                props[how] = made[use].arn
        if item["secret"]:
            props["password"] = pulumi.Output.secret(f"canary-{item['name']}")
        opts = pulumi.ResourceOptions(parent=parent, depends_on=depends, delete_before_replace=item["before"])
        made[item["name"]] = kit.thing(item["name"], opts, **props)
    pulumi.export("arns", [thing.arn for thing in made.values()])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=programs(),
    second=programs(),
    failures=st.sets(st.tuples(st.sampled_from(["create", "update", "delete"]), st.sampled_from(NAMES)), max_size=4),
    lost=st.sets(st.tuples(st.sampled_from(["create", "update", "delete"]), st.sampled_from(NAMES)), max_size=2),
    crash_at=st.one_of(st.none(), st.integers(1, 12)),
    landed=st.booleans(),
)
def test_any_program_after_any_trouble(
    kit: Any, first: Any, second: Any, failures: Any, lost: Any, crash_at: Any, landed: bool
) -> None:
    world = kit.world("stub")
    world.up(lambda: build(kit, first)).raise_error()
    assert kit.sound(world.state) == ()
    world.cloud.forget_calls()
    for key in failures:
        world.cloud.failures[key] = kit.cloud.ResourceFailure("trouble")
    world.cloud.lost_replies.update(lost)
    world.cloud.crash_at, world.cloud.crash_after_effect = crash_at, landed

    with contextlib.suppress(kit.cloud.Crash):
        world.up(lambda: build(kit, second))
    assert kit.sound(world.state) == ()
    assert world.unrecorded() == set()
    world.restart()
    world.cloud.failures.clear()
    world.cloud.lost_replies.clear()
    world.up(lambda: build(kit, second)).raise_error()

    assert world.state.pending == ()
    assert kit.sound(world.state) == ()
    assert world.names() == world.names_in_cloud() == sorted(item["name"] for item in second)
    world.cloud.forget_calls()
    again = world.up(lambda: build(kit, second)).raise_error()
    assert kit.changes(again) == []
    assert world.cloud.mutations() == []
    world.destroy().raise_error()
    assert world.cloud.things == {}
    assert world.state.resources == ()


class Disk:
    """The stack's folder. At a death it is copied, and the next process goes on in the copy."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> StackFolder:
        secrets = Secrets(lambda _: Passphrase("correct horse", "the test"))
        return StackFolder(self.root, "proj", "dev", secrets)

    def state(self) -> State:
        return self.open().load()

    def copy(self) -> Disk:
        """What is on the disk now, as another process finds it: the lock's holder is gone."""
        copy = self.root.with_name(f"{self.root.name}-later")
        shutil.copytree(self.root, copy)
        (copy / "stacks/dev/lock").unlink(missing_ok=True)
        return Disk(copy)


@pytest.fixture
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of key derivation."""
    monkeypatch.setattr(secrets, "ROUNDS", 1)


def up(kit: Any, world: Any, disk: Disk, program: Callable[[], None]) -> Any:
    with disk.open().open("up") as journal:
        return kit.engine.up(world.run(program), journal, lambda event: None)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=programs(),
    second=programs(),
    crashes=st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=3),
)
def test_any_program_that_dies_anywhere_is_finished_from_what_is_on_the_disk(
    kit: Any, cheap_keys: None, first: Any, second: Any, crashes: list[tuple[int, bool]]
) -> None:
    world = kit.world("stub")
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder) / "disk")
        up(kit, world, disk, lambda: build(kit, first)).raise_error()
        for crash_at, landed in crashes:
            world.cloud.forget_calls()
            world.cloud.crash_at, world.cloud.crash_after_effect = crash_at, landed
            left = [disk]
            world.cloud.at_death = lambda left=left: left.append(left[0].copy())
            with contextlib.suppress(kit.cloud.Crash):
                up(kit, world, disk, lambda: build(kit, second))
            world.restart()
            disk = left[-1]
            world.state = disk.state()
            assert kit.sound(world.state) == ()
            assert world.unrecorded() == set()
        up(kit, world, disk, lambda: build(kit, second)).raise_error()

        world.state = disk.state()
        assert world.state.pending == ()
        assert world.names() == world.names_in_cloud() == sorted(item["name"] for item in second)
        before = normal.fingerprint(world.state)
        world.cloud.forget_calls()
        assert kit.changes(up(kit, world, disk, lambda: build(kit, second)).raise_error()) == []
        assert world.cloud.mutations() == []
        assert normal.fingerprint(disk.state()) == before
        with disk.open().open("destroy") as journal:
            kit.engine.destroy(world.run(lambda: None), journal, lambda event: None).raise_error()
        assert world.cloud.things == {}
        assert disk.state().resources == ()
