"""I19: secrets, unknown values, what others own, what is adopted, and functions, on both engines."""

from __future__ import annotations

import pytest

from lifecycles import Node, Program, Revision
from parity import LANES, Life, lived, together

pytestmark = pytest.mark.official_engine

PROGRAMS = (
    Program(
        "secrets that change and that cease to be secret",
        (
            Revision((Node("a", secrets={"password": "pw", "tags": {"x": ["deep"]}}),
                      Node("b", uses={"color": "a.tags"}))),
            Revision((Node("a", secrets={"password": "other", "tags": {"x": ["deep"]}}),
                      Node("b", uses={"color": "a.tags"}))),
            Revision((Node("a", {"password": "other", "tags": {"x": ["deep"]}}), Node("b", uses={"color": "a.tags"}))),
            Revision((Node("a", {"tags": {"x": ["deep"]}}, secrets={"password": "other"}),
                      Node("b", uses={"color": "a.tags"}))),
        ),
    ),
    Program(
        "a secret that forces a replacement",
        (
            Revision((Node("a", secrets={"kind": "x"}), Node("b", uses={"color": "a"}))),
            Revision((Node("a", secrets={"kind": "y"}), Node("b", uses={"color": "a"}))),
        ),
    ),
    Program(
        "outputs that the program makes secret",
        (
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}))),
            Revision((Node("a", {"color": "red"}, options={"additional_secret_outputs": ["color", "arn"]}),
                      Node("b", uses={"color": "a"}))),
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}))),
        ),
    ),
    Program(
        "an output that the provider makes secret",
        (
            Revision((Node("a", {"token": "t"}), Node("b", uses={"color": "a.token"}))),
            Revision((Node("a", {"token": "u"}), Node("b", uses={"color": "a.token"}))),
        ),
    ),
    Program(
        "values that no preview knows, deep down",
        (
            Revision((Node("a"), Node("b", uses={"color": "a"}), Node("c", uses={"kind": "b", "size": "a"}),
                      Node("d", uses={"zone": "c"}))),
            Revision((Node("a", {"kind": "y"}), Node("b", uses={"color": "a"}),
                      Node("c", uses={"kind": "b", "size": "a"}), Node("d", uses={"zone": "c"}))),
        ),
    ),
    Program(
        "what others own",
        (
            Revision((Node("g", kind="get", options={"id": "there"}), Node("b", uses={"color": "g"})),
                     stand={"there": {"color": "red"}, "other": {"color": "blue"}}),
            Revision((Node("g", kind="get", options={"id": "other"}), Node("b", uses={"color": "g"}))),
            Revision((Node("b", {"color": "none"}),)),
        ),
    ),
    Program(
        "what others own becomes ours, and ours another's",
        (
            Revision((Node("g", kind="get", options={"id": "there"}), Node("a")), stand={"there": {"color": "red"}}),
            Revision((Node("g", {"color": "red"}), Node("a", kind="get", options={"id": "there"}))),
        ),
    ),
    Program(
        "adopt, then change, then forget where it came from",
        (
            Revision((Node("a", {"name": "there", "color": "red"}, options={"import_": "there"}),
                      Node("b", uses={"color": "a"})), stand={"there": {"color": "red"}}),
            Revision((Node("a", {"name": "there", "color": "blue"}, options={"import_": "there"}),
                      Node("b", uses={"color": "a"}))),
            Revision((Node("a", {"name": "there", "color": "blue"}), Node("b", uses={"color": "a"}))),
        ),
    ),
    Program(
        "functions",
        (
            Revision((Node("echo", {"x": 1}, kind="call"), Node("a"))),
            Revision((Node("a", {"size": 1}), Node("echo", uses={"x": "a"}, kind="call"))),
        ),
    ),
    Program(
        "empty and missing values",
        (
            Revision((Node("a", {"color": "", "tags": {}, "list": [], "size": 0, "on": False}),)),
            Revision((Node("a", {"tags": {"x": ""}, "list": [""], "size": 0}),)),
            Revision((Node("a", {"tags": {}, "list": [], "color": None}),)),
        ),
    ),
)  # fmt: skip
ODD = (
    Program(
        "adopt what is not there",
        (
            Revision((Node("a", {"name": "there"}, options={"import_": "there"}),)),
            Revision((Node("a", {"name": "there"}),)),
        ),
    ),
    Program(
        "adopt in the place of our own",
        (
            Revision((Node("a", {"name": "ours"}), Node("b", uses={"color": "a"})), stand={"there": {"color": "red"}}),
            Revision((Node("a", {"name": "there", "color": "red"}, options={"import_": "there"}),
                      Node("b", uses={"color": "a"}))),
        ),
    ),
    Program(
        "read what is not there",
        (Revision((Node("g", kind="get", options={"id": "there"}),)),),
    ),
    Program(
        "a function that fails",
        (
            Revision((Node("a"),)),
            Revision((Node("a"), Node("echo", {"fail": "no"}, kind="call", depends=()))),
            Revision((Node("a", {"size": 1}),)),
        ),
    ),
    Program(
        "a property that is refused",
        (
            Revision((Node("a", {"color": "red"}),)),
            Revision((Node("a", {"color": "blue", "refuse": "this"}),)),
            Revision((Node("a", {"color": "blue"}),)),
        ),
    ),
    Program(
        "a program that gives up",
        (
            Revision((Node("a", {"color": "red"}), Node("b"))),
            Revision((Node("a", {"color": "red"}),), raises=True),
            Revision((Node("a", {"color": "red"}),)),
        ),
    ),
)  # fmt: skip


def test_both_engines_do_the_same(life: Life) -> None:
    found = together(life, dict(zip(LANES, PROGRAMS, strict=False)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("told", ODD, ids=lambda told: told.name)
def test_both_engines_end_the_same(life: Life, told: Program) -> None:
    found = lived(life, told)
    assert not found, "\n".join(found)
