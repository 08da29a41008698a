"""The comparison itself: what differs between two engines is found. Both are the embedded one, and one of them lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from both_engines import Embedded
from cloudmodel.engine.run import Result
from lifecycles import Node, Program, Revision, program
from parity import Life, lived, out_of_order

LIFE = Program(
    "two resources",
    (
        Revision((Node("a", {"size": 1}), Node("b", uses={"color": "a"}))),
        Revision((Node("a", {"size": 2}), Node("b", uses={"color": "a"}))),
        Revision((Node("a", {"size": 2}),)),
    ),
)


class Lying(Embedded):
    """An engine that does its work, and then spoils one trace of it."""

    spoil: Callable[[Lying, Result], Result] = staticmethod(lambda side, result: result)

    def run(self, verb: Any, program: Callable[[], object], **options: Any) -> Result:
        return self.spoil(self, super().run(verb, program, **options))


def without_a_step(side: Lying, result: Result) -> Result:
    return replace(result, steps=result.steps[:-1])


def without_a_diff(side: Lying, result: Result) -> Result:
    return replace(result, steps=tuple(replace(step, diff={}) for step in result.steps))


def with_another_state(side: Lying, result: Result) -> Result:
    side.state = replace(side.state, resources=tuple(replace(entry, protect=True) for entry in side.state.resources))
    return result


def with_another_cloud(side: Lying, result: Result) -> Result:
    side.cloud.things["", "aws:test/thing:Thing", "stray"] = {}
    return result


def with_a_second_call(side: Lying, result: Result) -> Result:
    side.cloud.calls += side.cloud.mutations()[:1]
    return result


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (without_a_step, "embedded only"),
        (without_a_diff, "embedded only"),
        (with_another_state, "protect"),
        (with_another_cloud, "cloud/ aws:test/thing:Thing stray"),
        (with_a_second_call, "calls/create a"),
    ],
)
def test_what_one_engine_says_or_does_otherwise_is_found(
    spoil: Callable[[Lying, Result], Result], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lived(Life(Embedded("embedded"), Lying("official")), LIFE) == []
    monkeypatch.setattr(Lying, "spoil", staticmethod(spoil))
    assert found in "\n".join(lived(Life(Embedded("embedded"), Lying("official")), LIFE))


def test_calls_in_a_forbidden_order_are_found() -> None:
    side = Embedded("embedded")
    before = side.state
    result = side.run("up", program({"": LIFE.revisions[0].nodes}))
    course = side.cloud.course
    assert [(moment.begins, moment.call.name) for moment in course] == [
        (True, "a"), (False, "a"), (True, "b"), (False, "b"),
    ]  # fmt: skip
    assert out_of_order(course, before, side.state, result) == []
    turned = [*course[2:], *course[:2]]
    assert out_of_order(turned, before, side.state, result) == ["create b before the end of create a"]
