"""I19: failures, repairs, drift and refreshes, on both engines. What fails does so when all else is done."""

from __future__ import annotations

import pytest

from lifecycles import Node, Program, Revision
from parity import LANES, Life, together

pytestmark = pytest.mark.official_engine

CHAIN = (Node("a", {"size": 1}), Node("b", uses={"color": "a"}), Node("c", uses={"color": "b"}), Node("d"))
BIGGER = (
    Node("a", {"size": 2}),
    Node("b", {"size": 2}, uses={"color": "a"}),
    Node("c", uses={"color": "b"}),
    Node("d"),
)
KIND = (Node("a", {"kind": "x"}), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "b"}))
OTHER = (Node("a", {"kind": "y"}), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "b"}))
ZONE = (Node("a", {"zone": "x"}), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "b"}))
MOVED = (Node("a", {"zone": "y"}), Node("b", uses={"kind": "a"}), Node("c", uses={"color": "b"}))


def fails(*keys: str) -> frozenset[tuple[str, str]]:
    """Calls as `verb name`."""
    return frozenset((verb, name) for verb, _, name in (key.partition(" ") for key in keys))


GROUPS = {
    "something cannot be made": (
        Program(
            "a creation fails, other branches go on, the next run finishes",
            (Revision(CHAIN, fail=fails("create b")), Revision(CHAIN)),
        ),
        Program(
            "made, but not ready",
            (Revision(CHAIN, unready=fails("create a")), Revision(CHAIN)),
        ),
        Program(
            "not ready, and out of the program",
            (Revision(CHAIN, unready=fails("create b")), Revision((Node("d"),))),
        ),
    ),
    "something cannot be changed": (
        Program(
            "an update fails, the next run finishes",
            (Revision(CHAIN), Revision(BIGGER, fail=fails("update b")), Revision(BIGGER)),
        ),
        Program(
            "an update fails, and the program goes back",
            (Revision(CHAIN), Revision(BIGGER, fail=fails("update a")), Revision(CHAIN)),
        ),
        Program(
            "changed, but not ready",
            (Revision(CHAIN), Revision(BIGGER, unready=fails("update a")), Revision(BIGGER)),
        ),
        Program(
            "a replacement cannot be made",
            (Revision(KIND), Revision(OTHER, fail=fails("create b")), Revision(OTHER)),
        ),
    ),
    "something cannot be replaced": (
        Program(
            "what was deleted first cannot be made again",
            (Revision(ZONE), Revision(MOVED, fail=fails("create a")), Revision(MOVED)),
        ),
        Program(
            "what was deleted first cannot be made again, and leaves the program",
            (Revision(ZONE), Revision(MOVED, fail=fails("create a")), Revision((Node("c", {"color": "none"}),))),
        ),
        Program(
            "a replacement that is not ready",
            (Revision(KIND), Revision(OTHER, unready=fails("create a")), Revision(OTHER)),
        ),
    ),
    "no room can be made": (
        Program(
            "a dependent that must go first cannot be deleted",
            (Revision(ZONE), Revision(MOVED, fail=fails("delete b")), Revision(MOVED)),
        ),
    ),
    "something cannot be deleted": (
        Program(
            "a deletion fails, the next run finishes",
            (Revision(CHAIN), Revision((Node("d"),), fail=fails("delete b")), Revision((Node("d"),))),
        ),
    ),
    "the old half cannot be deleted": (
        Program(
            "the old half of a replacement cannot be deleted",
            (Revision(KIND), Revision(OTHER, fail=fails("delete a")), Revision(OTHER)),
        ),
    ),
    "a refresh sees what happened behind our back": (
        Program(
            "changed behind our back, seen by a refresh, mended by an update",
            (
                Revision(CHAIN),
                Revision(verb="refresh", drift={"a": {"size": 7}, "d": {"color": "pink"}}),
                Revision(CHAIN),
            ),
        ),
        Program(
            "gone behind our back, seen by a refresh, made again",
            (Revision(CHAIN), Revision(verb="refresh", gone=("b", "d")), Revision(CHAIN)),
        ),
    ),
    "an update looks first": (
        Program(
            "changed and gone behind our back, an update that looks first",
            (
                Revision(CHAIN),
                Revision(BIGGER, refresh=True, drift={"a": {"size": 7}, "c": {"color": "pink"}}, gone=("d",)),
            ),
        ),
    ),
    "a refresh finds nothing": (
        Program(
            "a refresh that finds nothing, and one after a failed creation",
            (
                Revision(CHAIN, fail=fails("create c")),
                Revision(verb="refresh"),
                Revision(CHAIN, refresh=True),
            ),
        ),
    ),
    "taking down fails": (
        Program(
            "taking down fails half-way",
            (Revision(CHAIN), Revision(verb="destroy", fail=fails("delete a")), Revision(verb="destroy")),
        ),
    ),
    "taking down what is gone": (
        Program(
            "gone behind our back, taken down all the same",
            (Revision(CHAIN), Revision(verb="destroy", gone=("b",))),
        ),
    ),
}
"""Lives side by side, which all fail in the same run and in the same part of it: none ends before another began to."""


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_both_engines_do_the_same(life: Life, group: tuple[Program, ...]) -> None:
    found = together(life, dict(zip(LANES, group, strict=False)))
    assert not found, "\n".join(found)
