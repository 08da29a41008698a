"""I19: what a program can say of a resource besides its properties, on both engines."""

from __future__ import annotations

import pulumi
import pytest

from lifecycles import Node, Program, Revision
from parity import LANES, Life, lived, together

pytestmark = pytest.mark.official_engine

PROTECT = {"protect": True}
KEEP = {"retain_on_delete": True}
REFUSED = (
    Program(
        "protected, taken out of the program, unprotected",
        (
            Revision((Node("a", options=PROTECT), Node("b", {"color": "red"}), Node("c", uses={"color": "a"}))),
            Revision((Node("b", {"color": "blue"}),)),
            Revision((Node("a"), Node("b", {"color": "blue"}))),
            Revision((Node("b", {"color": "blue"}),)),
        ),
    ),
    Program(
        "protected and to be replaced",
        (
            Revision((Node("a", {"kind": "x"}, options=PROTECT),)),
            Revision((Node("a", {"kind": "y"}, options=PROTECT),)),
            Revision((Node("a", {"kind": "y"}),)),
        ),
    ),
    Program(
        "a protected dependent stands in the way of a replacement",
        (
            Revision((Node("a", {"zone": "x"}), Node("b", uses={"kind": "a"}, options=PROTECT))),
            Revision((Node("a", {"zone": "y"}), Node("b", uses={"kind": "a"}, options=PROTECT))),
            Revision((Node("a", {"zone": "x"}), Node("b", uses={"kind": "a"}))),
        ),
    ),
    Program(
        "take down what is protected",
        (
            Revision((Node("a", options=PROTECT), Node("b", uses={"color": "a"}), Node("c"))),
            Revision(verb="destroy"),
            Revision((Node("a"), Node("c"))),
        ),
    ),
)  # fmt: skip
PROGRAMS = (
    Program(
        "kept when it leaves the program",
        (
            Revision((Node("a", options=KEEP), Node("b", uses={"color": "a"}, options=KEEP))),
            Revision((Node("a", options=KEEP),)),
            Revision(()),
        ),
    ),
    Program(
        "kept when it is replaced",
        (
            Revision((Node("a", {"kind": "x"}, options=KEEP), Node("b", {"zone": "x"}, options=KEEP))),
            Revision((Node("a", {"kind": "y"}, options=KEEP), Node("b", {"zone": "y"}, options=KEEP))),
            Revision((Node("a", {"kind": "x"}), Node("b", {"zone": "x"}))),
        ),
    ),
    Program(
        "changes that are ignored",
        (
            Revision((Node("a", {"size": 1, "color": "red", "tags": {"x": 1}}),)),
            Revision((Node("a", {"size": 2, "color": "red", "tags": {"x": 2}},
                           options={"ignore_changes": ["size", "tags.x", "none"]}),)),
            Revision((Node("a", {"size": 3, "color": "blue"}, options={"ignore_changes": ["size", "tags"]}),)),
        ),
    ),
    Program(
        "changes that are ignored do not outlive a replacement",
        (
            Revision((Node("a", {"size": 1, "kind": "x"}),)),
            Revision((Node("a", {"size": 2, "kind": "y"}, options={"ignore_changes": ["size"]}),)),
        ),
    ),
    Program(
        "any change forces a replacement",
        (
            Revision((Node("a", {"size": 1, "color": "red"}), Node("b", {"size": 1}), Node("c", {"tags": {"x": 1}}))),
            Revision((
                Node("a", {"size": 2, "color": "red"}, options={"replace_on_changes": ["size"]}),
                Node("b", {"size": 2}, options={"replace_on_changes": ["*"]}),
                Node("c", {"tags": {"x": 2}}, options={"replace_on_changes": ["tags.x"]}),
            )),
            Revision((
                Node("a", {"size": 2, "color": "blue"}, options={"replace_on_changes": ["size"]}),
                Node("b", {"size": 2}, options={"replace_on_changes": ["*"]}),
                Node("c", {"tags": {"x": 2}}, options={"replace_on_changes": ["tags.x"]}),
            )),
        ),
    ),
    Program(
        "deleted with another",
        (
            Revision((Node("a", {"kind": "x"}), Node("b", depends=("a",), options={"deleted_with": "a"}),
                      Node("c", uses={"color": "b"}))),
            Revision((Node("d"),)),
        ),
    ),
    Program(
        "replaced with what it is deleted with",
        (
            Revision((Node("a", {"kind": "x"}), Node("b", depends=("a",), options={"deleted_with": "a"}))),
            Revision((Node("a", {"kind": "y"}), Node("b", depends=("a",), options={"deleted_with": "a"}))),
        ),
    ),
    Program(
        "deleted first with what it is deleted with",
        (
            Revision((Node("a", {"zone": "x"}), Node("b", depends=("a",), options={"deleted_with": "a"}))),
            Revision((Node("a", {"zone": "y"}), Node("b", depends=("a",), options={"deleted_with": "a"}))),
        ),
    ),
    Program(
        "time limits",
        (
            Revision((Node("a", options={"custom_timeouts": pulumi.CustomTimeouts(create="5m", delete="1m")}),)),
            Revision((Node("a", options={"custom_timeouts": pulumi.CustomTimeouts(create="90s")}),)),
        ),
    ),
)  # fmt: skip


def test_both_engines_do_the_same(life: Life) -> None:
    found = together(life, dict(zip(LANES, PROGRAMS, strict=False)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("told", REFUSED, ids=lambda told: told.name)
def test_both_engines_refuse_the_same(life: Life, told: Program) -> None:
    found = lived(life, told)
    assert not found, "\n".join(found)
