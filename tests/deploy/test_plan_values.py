"""What a plan sets is bound to it by a digest: the same for the same values, another for other ones."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmodel.core.resource import ASSET, SIGNATURE, UNKNOWN
from cloudmodel.engine.intent import digests
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.values import secret

TOPIC, OTHER = "urn:pulumi:dev::p::aws:sns/topic:Topic::t", "urn:pulumi:dev::p::aws:sns/topic:Topic::u"


def step(urn: str = TOPIC, op: Op = Op.CREATE, **inputs: Any) -> Step:
    return Step(op, urn, "aws:sns/topic:Topic", new=Resource(urn=urn, type="aws:sns/topic:Topic", inputs=inputs))


def asset(path: str, digest: str) -> dict[str, str]:
    return {SIGNATURE: ASSET, "path": path, "hash": digest}


def automatic(name: str, **inputs: Any) -> list[Step]:
    return [step(name=name, __defaults=["name"]), step(OTHER, topic=f"arn:{name}", **inputs)]


ROWS = [
    ("the same", [step(a="b")], [step(a="b")], True),
    ("another value", [step(a="b")], [step(a="c")], False),
    ("another name of it", [step(a="b")], [step(b="b")], False),
    ("unknown and known", [step(a=UNKNOWN)], [step(a="b")], False),
    ("where a file lies", [step(a=asset("/one", "12"))], [step(a=asset("/two", "12"))], True),
    ("what is in a file", [step(a=asset("/one", "12"))], [step(a=asset("/one", "13"))], False),
    ("an automatic name, and what it is used in", automatic("t-1234567"), automatic("t-89abcde"), True),
    ("beside an automatic name", automatic("t-1234567", b="1"), automatic("t-89abcde", b="2"), False),
    ("a secret", [step(a=secret("hunter2"))], [step(a=secret("hunter3"))], True),
    ("what stays as it is", [step(op=Op.SAME, a="b")], [step(op=Op.SAME, a="c")], True),
]


@pytest.mark.parametrize(("what", "one", "other", "same"), ROWS, ids=[row[0] for row in ROWS])
def test_same_values_same_digest(what: str, one: list[Step], other: list[Step], same: bool) -> None:
    assert (digests(one) == digests(other)) is same
