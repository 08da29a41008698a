"""The YAML reader: plain data with places, and a clear end for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.settings.document import MAX_BYTES, MAX_DEPTH, Mark, Unreadable, parse, read

PATH = Path("settings.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: 1", {"a": 1}),
        ("a: -1.5e3", {"a": -1500.0}),
        ("a: [yes, on, 2026-11-24, 1:30, 012, 0x1f, 1_000, .nan, .inf]", None),
        ("a: [true, False, null, ~, ]", {"a": [True, False, None, None]}),
        ("a: '5'\nb: \"true\"", {"a": "5", "b": "true"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: |\n  text\n  more\n", {"a": "text\nmore\n"}),
        ("\ufeffa: ü", {"a": "ü"}),
    ],
)
def test_plain_values(text: str, value: Any) -> None:
    found = parse(PATH, text.encode()).value
    if value is None and text.startswith("a"):
        assert found == {"a": ["yes", "on", "2026-11-24", "1:30", "012", "0x1f", "1_000", ".nan", ".inf"]}
    else:
        assert found == value


def test_marks_are_the_places_of_keys_and_items() -> None:
    document = parse(PATH, b"a: 1\nb:\n  c: [x,\n      y]\n")
    assert document.mark(("a",)) == Mark(1, 1)
    assert document.mark(("b", "c")) == Mark(3, 3)
    assert document.mark(("b", "c", 1)) == Mark(4, 7)
    assert document.mark(("b", "c", 1, "deeper")) == Mark(4, 7)
    assert document.mark(("nowhere",)) == Mark(1, 1)


def test_each_duplicate_is_told_with_both_places() -> None:
    document = parse(PATH, b"a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert [problem.text(PATH) for problem in document.duplicates] == [
        "settings.yaml:2:11: b.c: stands twice; it was given in line 2 already",
        "settings.yaml:3:1: a: stands twice; it was given in line 1 already",
    ]
    assert document.value == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"a: [1", "2:1", "is not YAML"),
        (b"a: b: c", "1:5", "is not YAML"),
        (b"a:\n\t- b", "2:1", "is not YAML"),
        (b"ok: 1\nbad: \xff", "2:6", "UTF-8"),
        (b"a: !!python/object/apply:os.system [id]", "1:4", "tag"),
        (b"a: !secret x", "1:4", "tag"),
        (b"a: 1\n---\nb: 2\n", "2:1", "second document"),
        (b"a: *b", "1:4", "stands for nothing"),
        (b"a: &a [*a]", "1:8", "stands for nothing"),
        (b"<<: {a: 1}", "1:1", "merge"),
        (b"? [a]\n: 1", "1:3", "key must be plain text"),
        (b'a: "\\0"', "1:4", "control character"),
        (b'"\\x01": 1', "1:1", "control character"),
        (b"- " * 100_000, f"1:{2 * MAX_DEPTH + 3}", "levels deep"),
        (b"[" * 100_000, "1:", ""),
        (b"{a: " * 100_000, "1:", ""),
        (b"x: &a [" + b"1," * 2000 + b"]\ny: [" + b"*a," * 2000 + b"]", "2:", "values"),
        (b"k: 1\n" * 30_000, "", "values"),
        (b"#" * (MAX_BYTES + 1), "", ""),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_taken_is_told_with_its_place(tmp_path: Path, data: bytes, place: str, words: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(data)
    with pytest.raises(Unreadable) as caught:
        read(path)
    told = caught.value.problem.text(path)
    assert told.startswith(f"settings.yaml:{place}")
    assert words in told
    assert len(told) < 400


def test_ten_layers_of_aliases_cost_no_more_than_they_may() -> None:
    layers = [b"l0: &l0 [x,x,x,x,x,x,x,x,x]"]
    layers += [b"l%d: &l%d [" % (n, n) + b",".join([b"*l%d" % (n - 1)] * 9) + b"]" for n in range(1, 10)]
    with pytest.raises(Unreadable, match="values"):
        parse(PATH, b"\n".join(layers))


@pytest.mark.parametrize("kind", ["missing", "folder", "forbidden"])
def test_a_path_that_is_no_readable_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.yaml"
    if kind == "folder":
        path.mkdir()
    if kind == "forbidden":
        path.write_text("a: 1")

        def refuse(*_: Any, **__: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(Unreadable):
        read(path)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_a_writer_wrote_is_read_back(value: Any) -> None:
    assert parse(PATH, yaml.safe_dump(value, allow_unicode=True).encode()).value == value


@given(st.text(alphabet="ab:-[]{}&*!#|>'\"%@`?,\n \t~<0.\u2028", max_size=60))
def test_any_text_is_read_or_refused_in_one_way(text: str) -> None:
    try:
        parse(PATH, text.encode())
    except Unreadable as error:
        assert error.problem.message


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_way(data: bytes) -> None:
    try:
        parse(PATH, data)
    except Unreadable as error:
        assert error.problem.message
