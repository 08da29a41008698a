"""I19: names, parents, components and providers, on both engines."""

from __future__ import annotations

import pytest

from lifecycles import Node, Program, Revision
from parity import LANES, Life, together

pytestmark = pytest.mark.official_engine

BOX = Node("box", kind="box")
PROGRAMS = (
    Program(
        "another name with an alias, and what points to it",
        (
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}))),
            Revision((Node("new", {"color": "red"}, options={"aliases": [{"name": "a"}]}),
                      Node("b", uses={"color": "new"}))),
            Revision((Node("new", {"color": "blue"}, options={"aliases": [{"name": "a"}]}),
                      Node("b", uses={"color": "new"}))),
        ),
    ),
    Program(
        "another name without an alias",
        (
            Revision((Node("a", {"color": "red"}), Node("b", uses={"color": "a"}))),
            Revision((Node("new", {"color": "red"}), Node("b", uses={"color": "new"}))),
        ),
    ),
    Program(
        "another name and a replacement at once",
        (
            Revision((Node("a", {"kind": "x"}), Node("b", {"zone": "x"}))),
            Revision((Node("a2", {"kind": "y"}, options={"aliases": [{"name": "a"}]}),
                      Node("b2", {"zone": "y"}, options={"aliases": [{"name": "b"}]}))),
        ),
    ),
    Program(
        "another name that loses its protection is not lost",
        (
            Revision((Node("a", options={"protect": True}),)),
            Revision((Node("new", options={"aliases": [{"name": "a"}], "protect": True}),)),
            Revision((Node("new"),)),
        ),
    ),
    Program(
        "components in components",
        (
            Revision((BOX, Node("in", kind="box", parent="box"), Node("a", {"color": "red"}, parent="in"),
                      Node("b", uses={"color": "a"}, parent="box"), Node("c", depends=("in",)))),
            Revision((BOX, Node("in", kind="box", parent="box"), Node("a", {"color": "blue"}, parent="in"),
                      Node("b", uses={"kind": "a"}, parent="box"), Node("c", depends=("in",)))),
            Revision((BOX, Node("b", parent="box"), Node("c"))),
        ),
    ),
    Program(
        "a component leaves with what is in it",
        (
            Revision((BOX, Node("a", parent="box"), Node("b", parent="box", uses={"color": "a"}), Node("c"))),
            Revision((Node("c"),)),
        ),
    ),
    Program(
        "a component under another name, with an alias",
        (
            Revision((BOX, Node("a", parent="box"), Node("b", parent="box", uses={"color": "a"}))),
            Revision((Node("crate", kind="box", options={"aliases": [{"name": "box"}]}), Node("a", parent="crate"),
                      Node("b", parent="crate", uses={"color": "a"}))),
        ),
    ),
    Program(
        "a component under another name, without one",
        (
            Revision((BOX, Node("a", parent="box"))),
            Revision((Node("crate", kind="box"), Node("a", parent="crate"))),
        ),
    ),
    Program(
        "into a component and out of it",
        (
            Revision((Node("a"), BOX, Node("b", parent="box"))),
            Revision((BOX, Node("a", parent="box", options={"aliases": [{"parent": ""}]}),
                      Node("b", options={"aliases": [{"parent": "box"}]}))),
        ),
    ),
    Program(
        "a parent that is no component",
        (
            Revision((Node("a"), Node("b", parent="a"), Node("c", parent="b"))),
            Revision((Node("a", {"kind": "y"}), Node("b", parent="a"), Node("c", parent="b"))),
            Revision((Node("c"),)),
        ),
    ),
    Program(
        "what a component gives out",
        (
            Revision((BOX, Node("a", parent="box"), Node("crate", {"size": 1}, uses={"color": "a"}, kind="box"))),
            Revision((BOX, Node("a", parent="box"), Node("crate", {"size": 2}, uses={"color": "a"}, kind="box"))),
        ),
    ),
    Program(
        "a provider of one's own",
        (
            Revision((Node("p", {"account": "one"}, kind="provider"), Node("a", provider="p"),
                      Node("b", uses={"color": "a"}))),
            Revision((Node("p", {"account": "one", "note": "x"}, kind="provider"), Node("a", {"size": 1}, provider="p"),
                      Node("b", uses={"color": "a"}))),
            Revision((Node("b"),)),
        ),
    ),
    Program(
        "a component whose provider its children take",
        (
            Revision((Node("p", {"account": "one"}, kind="provider"),
                      Node("box", kind="box", options={"providers": ["p"]}), Node("a", parent="box"))),
            Revision((Node("p", {"account": "one"}, kind="provider"),
                      Node("box", kind="box", options={"providers": ["p"]}), Node("a", {"kind": "y"}, parent="box"))),
        ),
    ),
    Program(
        "a provider made of what is made in the same run",
        (
            Revision((Node("a"), Node("p", uses={"account": "a.name"}, kind="provider"), Node("b", provider="p"))),
            Revision((Node("a", {"size": 2}), Node("p", uses={"account": "a.name"}, kind="provider"),
                      Node("b", {"size": 1}, provider="p"))),
        ),
    ),
)  # fmt: skip


def test_both_engines_do_the_same(life: Life) -> None:
    found = together(life, dict(zip(LANES, PROGRAMS, strict=False)))
    assert not found, "\n".join(found)
