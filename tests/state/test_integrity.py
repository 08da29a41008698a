"""What makes a state unsound, one row a violation (I5)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import states
from cloudmodel.engine import integrity
from cloudmodel.engine.state import PendingKind, PendingOperation, Resource, State

A, B = states.bucket("a"), states.bucket("b")
MISSING = states.urn("gone")
COMPONENT = Resource(states.urn("c", "cm:index:C"), "cm:index:C", custom=False, parent=states.ROOT)


def test_a_sound_state_has_no_violations() -> None:
    old = replace(A, id="old", delete=True)
    older = replace(A, id="older", delete=True)
    user = states.bucket("u", dependencies=(A.urn,), property_dependencies={"x": (COMPONENT.urn,)}, deleted_with=B.urn)
    assert integrity.check(states.state(COMPONENT, older, old, A, B, user)) == ()


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ((A, A), "stands twice"),
        ((replace(A, delete=True), replace(A, delete=True)), "stands twice"),
        ((replace(A, parent=MISSING),), "parent .* is missing"),
        ((replace(A, parent=B.urn), B), "parent .* comes after it"),
        ((replace(A, dependencies=(MISSING,)),), "dependency .* is missing"),
        ((replace(A, dependencies=(B.urn,)), B), "dependency .* comes after it"),
        ((replace(A, property_dependencies={"x": (B.urn,)}), B), "dependency of x .* comes after it"),
        ((replace(A, deleted_with=B.urn), B), "deletedWith .* comes after it"),
        ((replace(A, provider=f"{MISSING}::1"),), "provider .* is missing"),
        ((replace(A, provider=f"{states.PROVIDER}::other"),), "is not a provider"),
        ((A, replace(B, provider=f"{A.urn}::{A.id}")), "is not a provider"),
        ((replace(A, dependencies=(A.urn,)),), "comes after it"),
        ((replace(COMPONENT, id="x"),), "is a component"),
        ((replace(A, id=""),), "has no id"),
        ((replace(A, type=""),), "has no type"),
        ((replace(A, urn=A.urn.replace("::digits::", "::other::")),), "not a URN of the stack"),
        ((replace(A, urn=A.urn.replace(":dev::", ":prod::")),), "not a URN of the stack"),
    ],
)
def test_a_violation_is_named(resources: tuple[Resource, ...], said: str) -> None:
    (violation,) = integrity.check(states.state(*resources))
    assert re.search(said, violation)


def test_a_provider_before_its_user() -> None:
    root, provider = states.BASE
    assert any("comes after it" in said for said in integrity.check(State("digits", "dev", (root, A, provider))))


def test_a_pending_operation_of_another_stack_is_named() -> None:
    other = PendingOperation(replace(A, urn="urn:pulumi:prod::digits::t::a"), PendingKind.CREATING)
    assert len(integrity.check(states.state(pending=(other,)))) == 1
