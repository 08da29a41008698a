"""The pure decisions: rows of (old, goal, what the provider says, expected), and the order of deletions (I13)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.resource import Difference, DiffKind
from cloudmodel.engine.goal import Goal
from cloudmodel.engine.planner import Decision, compelled, decide, deletion_order
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op

OLD = Resource(urn="urn:pulumi:s::p::aws:test/thing:Thing::a", type="aws:test/thing:Thing", id="1")
GOAL = Goal(type=OLD.type, name="a")
UPDATE, REPLACE = {"x": DiffKind.UPDATE}, {"x": DiffKind.UPDATE_REPLACE}


@pytest.mark.parametrize(
    ("old", "goal", "difference", "expected"),
    [
        (OLD, GOAL, Difference(), (Op.SAME, (), False)),
        (OLD, GOAL, Difference(UPDATE), (Op.UPDATE, (), False)),
        (OLD, GOAL, Difference(REPLACE), (Op.REPLACE, ("x",), False)),
        (OLD, GOAL, Difference(REPLACE, True), (Op.REPLACE, ("x",), True)),
        (OLD, replace(GOAL, delete_before_replace=True), Difference(REPLACE), (Op.REPLACE, ("x",), True)),
        (OLD, replace(GOAL, delete_before_replace=False), Difference(REPLACE, True), (Op.REPLACE, ("x",), False)),
        (OLD, replace(GOAL, replace_on_changes=("x",)), Difference(UPDATE), (Op.REPLACE, ("x",), False)),
        (OLD, replace(GOAL, replace_on_changes=("y",)), Difference(UPDATE), (Op.UPDATE, (), False)),
        (OLD, replace(GOAL, replace_on_changes=("*",)), Difference(UPDATE), (Op.REPLACE, ("x",), False)),
        (replace(OLD, pending_replacement=True), GOAL, Difference(), (Op.REPLACE, (), False)),
        (replace(OLD, pending_replacement=True), GOAL, Difference(UPDATE, True), (Op.REPLACE, (), True)),
        (replace(OLD, init_errors=("not ready",)), GOAL, Difference(), (Op.UPDATE, (), False)),
    ],
)
def test_what_to_do(
    old: Resource,
    goal: Goal,
    difference: Difference,
    expected: tuple[Op, tuple[str, ...], bool],
) -> None:
    decision: Decision = decide(old, goal, difference)

    assert (decision.op, decision.reasons, decision.delete_first) == expected


def test_a_replacement_that_no_property_asks_for_deletes_first_only_where_the_program_says_so() -> None:
    assert compelled(GOAL, "id") == Decision(Op.REPLACE, {}, ("id",), False)
    assert compelled(replace(GOAL, delete_before_replace=True), "provider").delete_first


@given(st.data())
def test_every_user_is_gone_before_what_it_uses(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 10))
    entries: list[Resource] = []
    for index in range(count):
        uses = data.draw(st.lists(st.integers(0, index - 1), max_size=3)) if index else []
        entries.append(
            replace(
                OLD,
                urn=f"urn:pulumi:s::p::t::{data.draw(st.permutations('abc'))[0]}{index}",
                id=str(index),
                dependencies=tuple(entries[use].urn for use in uses),
                delete=data.draw(st.booleans()),
            )
        )
    waits = deletion_order(data.draw(st.permutations(entries)))

    keys = {entry.urn: entry.key for entry in entries}
    for entry in entries:
        assert all(entry.key in waits[keys[needed]] for needed in entry.dependencies)
    gone: set[object] = set()
    while len(gone) < len(waits):
        free = {key for key, others in waits.items() if key not in gone and others <= gone}
        assert free, "the order has no circle"
        gone |= free
