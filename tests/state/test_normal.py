"""One form, one order and one fingerprint for states that mean the same (I15)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import states
from cloudmodel.engine import checkpoint, integrity, normal
from cloudmodel.engine.state import Mutation, PendingKind, PendingOperation, Resource, State


@given(states.states(), st.randoms())
def test_the_order_of_a_state_does_not_show(state: State, chance: random.Random) -> None:
    resources = list(state.resources)
    chance.shuffle(resources)
    edges = [
        replace(entry, dependencies=tuple(chance.sample(entry.dependencies, len(entry.dependencies))))
        for entry in resources
    ]
    mixed = replace(state, resources=tuple(edges), pending=state.pending[::-1])
    assert normal.fingerprint(mixed) == normal.fingerprint(state)
    assert [entry.key for entry in normal.ordered(mixed.resources)] == [
        entry.key for entry in normal.ordered(state.resources)
    ]


@given(states.states())
def test_the_canonical_order_is_sound(state: State) -> None:
    assert integrity.check(normal.canonical(state)) == ()


def test_ties_go_by_urn_and_users_come_after_what_they_use() -> None:
    last = states.bucket("a", dependencies=(states.urn("c"),))
    order = normal.ordered([last, states.bucket("c"), states.bucket("b"), *states.BASE])
    assert [entry.name for entry in order] == ["default_7_51_1", "digits-dev", "b", "c", "a"]


def test_the_old_half_of_a_replacement_follows_the_old_half_of_what_it_was_made_from() -> None:
    old_key = states.bucket("key", id="k1", delete=True)
    old_user = states.bucket("a", id="a1", delete=True, dependencies=(states.urn("key"),))
    # After the change it is the other way round: the key names the user.
    key = states.bucket("key", id="k2", dependencies=(states.urn("a"),))
    order = [entry.id for entry in normal.ordered([key, old_user, old_key, states.bucket("a", id="a2")])]
    assert order.index("k1") < order.index("a1")
    assert order.index("a2") < order.index("k2")


def test_a_cycle_is_ordered_all_the_same() -> None:
    one = states.bucket("a", dependencies=(states.urn("b"),))
    other = states.bucket("b", dependencies=(states.urn("a"),))
    assert [entry.name for entry in normal.ordered([other, one])] == ["a", "b"]


@given(states.states())
def test_how_secrets_are_sealed_does_not_show(state: State) -> None:
    documents = [checkpoint.export(state, states.passphrase(text)) for text in ("one", "two")]
    read = [
        checkpoint.read(document, states.PROJECT, states.STACK, states.passphrase(text), "").state
        for document, text in zip(documents, ("one", "two"), strict=True)
    ]
    assert normal.fingerprint(read[0]) == normal.fingerprint(read[1]) == normal.fingerprint(state)


BUCKET = states.bucket("a", inputs={"n": 1, "s": states.secret("x")}, dependencies=(states.ROOT,))
PROVIDER = states.BASE[1]


@pytest.mark.parametrize(
    "other",
    [
        replace(BUCKET, modified="2027-01-01T00:00:00Z", created=""),
        replace(BUCKET, extra={"sourcePosition": "x", "stackTrace": [1]}),
        replace(BUCKET, inputs={"n": 1.0, "s": states.secret("x")}),
        replace(BUCKET, property_dependencies={"n": ()}),
        replace(BUCKET, dependencies=(states.ROOT, states.ROOT)),
    ],
)
def test_what_differs_without_a_change_does_not_show(other: Resource) -> None:
    assert normal.fingerprint(states.state(other)) == normal.fingerprint(states.state(BUCKET))
    assert normal.equal(states.state(other), states.state(BUCKET))


def test_the_internal_part_of_a_provider_does_not_show() -> None:
    other = replace(PROVIDER, inputs={**PROVIDER.inputs, "__internal": {}})
    with_internal = State(states.PROJECT, states.STACK, (states.BASE[0], other))
    assert normal.equal(with_internal, states.state())


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b-2"},
        {"inputs": {"n": 2, "s": states.secret("x")}},
        {"inputs": {"n": True, "s": states.secret("x")}},
        {"inputs": {"n": "1", "s": states.secret("x")}},
        {"inputs": {"n": 1, "s": states.secret("y")}},
        {"inputs": {"n": 1, "s": "x"}},
        {"inputs": {"n": 1, "s": {"secret": "x"}, "t": None}},
        {"protect": True},
        {"delete": True},
        {"dependencies": ()},
        {"property_dependencies": {"n": (states.ROOT,)}},
        {"init_errors": ("no",)},
        {"extra": {"taint": True}},
    ],
)
def test_every_change_shows(change: dict[str, Any]) -> None:
    changed = states.state(replace(BUCKET, **change))
    assert normal.fingerprint(changed) != normal.fingerprint(states.state(BUCKET))
    assert not normal.equal(changed, states.state(BUCKET))


def test_pending_operations_show() -> None:
    pending = (PendingOperation(BUCKET, PendingKind.UPDATING),)
    assert not normal.equal(states.state(BUCKET, pending=pending), states.state(BUCKET))
    assert not normal.equal(states.state(), states.state().changed([Mutation(put=(BUCKET,))]))
