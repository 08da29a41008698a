"""Property values: the wire and back, secrets taken off and put back, paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.resource import SECRET, SIGNATURE
from cloudmodel.engine import wire
from cloudmodel.engine.diff import with_ignored
from cloudmodel.engine.values import MISSING, annotated, is_secret, lookup, nodes, parse_path, plain, secret

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
KEYS = st.text("abcXYZ.", min_size=1, max_size=4)
PLAIN = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
WITH_SECRETS = st.recursive(
    LEAVES | LEAVES.map(secret),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=2).map(secret)
    ),
)


@given(st.dictionaries(KEYS, PLAIN, max_size=5))
def test_what_goes_over_the_wire_comes_back(values: dict[str, Any]) -> None:
    assert wire.from_struct(wire.to_struct(values)) == values


@given(WITH_SECRETS)
def test_secrets_come_back_where_they_were(value: Any) -> None:
    bare = plain(value)

    assert not any(is_secret(node) for node in nodes(bare))
    again = annotated(bare, value)
    assert plain(again) == bare
    assert [path for path, node in _walk(value) if is_secret(node)] == [p for p, n in _walk(again) if is_secret(n)]


def _walk(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    found = [(path, value)]
    if is_secret(value):
        return found
    if isinstance(value, dict):
        for key in sorted(value):
            found += _walk(value[key], (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _walk(item, (*path, index))
    return found


def test_a_list_of_another_length_is_secret_as_a_whole() -> None:
    assert annotated(["a", "b"], [secret("a")]) == {SIGNATURE: SECRET, "value": ["a", "b"]}


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("tags", ("tags",)),
        ("tags.owner", ("tags", "owner")),
        ("rules[0].id", ("rules", 0, "id")),
        ("rules[*].id", ("rules", "*", "id")),
        ('tags["a.b"].c', ("tags", "a.b", "c")),
        ('["x\\"y"]', ('x"y',)),
    ],
)
def test_paths(path: str, parts: tuple[str | int, ...]) -> None:
    assert parse_path(path) == parts


def test_looking_into_a_secret_finds_a_secret() -> None:
    values = {"a": secret({"b": [1, 2]})}

    assert lookup(values, ("a", "b", 1)) == secret(2)
    assert lookup(values, ("a", "c")) is MISSING
    assert lookup(values, ("a", "b", 7)) is MISSING


@given(st.dictionaries(KEYS, PLAIN, max_size=4), st.dictionaries(KEYS, PLAIN, max_size=4))
def test_ignoring_everything_gives_the_old_inputs(news: dict[str, Any], olds: dict[str, Any]) -> None:
    assert with_ignored(news, olds, ["*"]) == olds


@given(st.dictionaries(KEYS, PLAIN, max_size=4), st.dictionaries(KEYS, PLAIN, max_size=4))
def test_ignoring_what_nobody_has_changes_nothing(news: dict[str, Any], olds: dict[str, Any]) -> None:
    assert with_ignored(news, olds, ["other.deep", "list[0].x"]) == news


@pytest.mark.parametrize(
    ("text", "expected"), [("5m", 300.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1.5h", 5400.0), ("90s", 90.0)]
)
def test_durations(text: str, expected: float) -> None:
    assert wire.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5m!"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        wire.seconds(text)
