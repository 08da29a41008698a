"""I19: making, changing, replacing and deleting, on both engines."""

from __future__ import annotations

import pytest

from lifecycles import Node, Program, Revision
from parity import LANES, Life, together

pytestmark = pytest.mark.official_engine

FIRST = {"delete_before_replace": True}
PROGRAMS = (
    Program(
        "make, change and take down",
        (
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}))),
            Revision((Node("a", {"color": "blue", "size": 1}), Node("b", uses={"color": "a"}))),
            Revision((Node("a", {"size": 1}), Node("b", uses={"color": "a"}))),
            Revision(verb="destroy"),
        ),
    ),
    Program(
        "nothing to do",
        (
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}, secrets={"password": "pw"}))),
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}, secrets={"password": "pw"}))),
        ),
    ),
    Program(
        "replace, the new one first",
        (
            Revision((Node("a", {"kind": "x"}), Node("b", uses={"color": "a"}))),
            Revision((Node("a", {"kind": "y"}), Node("b", uses={"color": "a"}))),
        ),
    ),
    Program(
        "replace through a chain",
        (
            Revision((Node("a", {"kind": "x"}), Node("b", uses={"kind": "a"}), Node("c", uses={"kind": "b"}),
                      Node("d", uses={"color": "c"}))),
            Revision((Node("a", {"kind": "y"}), Node("b", uses={"kind": "a"}), Node("c", uses={"kind": "b"}),
                      Node("d", uses={"color": "c"}))),
        ),
    ),
    Program(
        "replace, the old one first, by the provider's word",
        (
            Revision((Node("a", {"zone": "x"}),)),
            Revision((Node("a", {"zone": "y"}),)),
        ),
    ),
    Program(
        "replace, the old one first, with dependents that must go too",
        (
            Revision((Node("a", {"zone": "x"}), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "a"}),
                      Node("d", uses={"zone": "b"}), Node("e", depends=("b",)))),
            Revision((Node("a", {"zone": "y"}), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "a"}),
                      Node("d", uses={"zone": "b"}), Node("e", depends=("b",)))),
        ),
    ),
    Program(
        "replace, the old one first, by the program's word",
        (
            Revision((Node("a", {"kind": "x"}, options=FIRST), Node("b", uses={"kind": "a"}))),
            Revision((Node("a", {"kind": "y"}, options=FIRST), Node("b", uses={"kind": "a"}))),
        ),
    ),
    Program(
        "the program forbids to delete first",
        (
            Revision((Node("a", {"zone": "x"}, options={"delete_before_replace": False}),)),
            Revision((Node("a", {"zone": "y"}, options={"delete_before_replace": False}),)),
        ),
    ),
    Program(
        "a dependent that is forced out of the way leaves the program in the same run",
        (
            Revision((Node("a", {"zone": "x"}), Node("b", uses={"kind": "a"}), Node("c", uses={"kind": "b"}))),
            Revision((Node("a", {"zone": "y"}), Node("c", {"kind": "free"}, depends=("a",)))),
        ),
    ),
    Program(
        "delete the middle of a chain",
        (
            Revision((Node("a"), Node("b", uses={"color": "a"}), Node("c", uses={"color": "b"}))),
            Revision((Node("a"), Node("c", uses={"color": "a"}))),
            Revision((Node("c", {"color": "none"}),)),
        ),
    ),
    Program(
        "replace and delete in one run",
        (
            Revision((Node("a", {"kind": "x"}), Node("b", uses={"color": "a"}), Node("c", uses={"size": "b"}))),
            Revision((Node("a", {"kind": "y"}), Node("d", uses={"color": "a"}))),
        ),
    ),
    Program(
        "turn dependencies round",
        (
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}))),
            Revision((Node("b", {"color": "red"}), Node("a", uses={"color": "b"}))),
        ),
    ),
    Program(
        "an explicit name that changes",
        (
            Revision((Node("a", {"name": "one"}), Node("b", uses={"color": "a.name"}))),
            Revision((Node("a", {"name": "two"}), Node("b", uses={"color": "a.name"}))),
        ),
    ),
    Program(
        "many properties, in objects and lists",
        (
            Revision((Node("a", {"tags": {"x": "1", "y": {"z": [1, 2]}}, "size": 1.5, "on": True}),)),
            Revision((Node("a", {"tags": {"x": "1", "y": {"z": [1, 3]}}, "size": 1.5, "on": False}),)),
            Revision((Node("a", {"tags": {"x": "1"}, "size": 2}),)),
        ),
    ),
    Program(
        "asked to be replaced",
        (
            Revision((Node("a"), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "a"}))),
            Revision((Node("a"), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "a"})), replace=("a",)),
        ),
    ),
    Program(
        "asked to be replaced, the old one first",
        (
            Revision((Node("a", options=FIRST), Node("b", uses={"kind": "a"}))),
            Revision((Node("a", options=FIRST), Node("b", uses={"kind": "a"})), replace=("a", "b")),
        ),
    ),
    Program(
        "depends on everything in a component",
        (
            Revision((Node("box", kind="box"), Node("a", parent="box"), Node("b", depends=("box",)))),
            Revision((Node("box", kind="box"), Node("a", {"kind": "y"}, parent="box"), Node("b", depends=("box",)))),
            Revision((Node("b"),)),
        ),
    ),
)  # fmt: skip


def test_both_engines_do_the_same(life: Life) -> None:
    found = together(life, dict(zip(LANES, PROGRAMS, strict=False)))
    assert not found, "\n".join(found)
