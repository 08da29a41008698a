"""What is printed cannot steer a terminal, and a document is the same bytes each time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.cli import output
from cloudmodel.cli.values import readable, shown
from cloudmodel.core.errors import CloudmodelError, StackLocked
from cloudmodel.core.resource import SECRET, SIGNATURE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.text())
def test_printable_text_has_no_control_or_direction_characters(text: str) -> None:
    assert all(sign.isprintable() or sign in "\n\t" for sign in output.printable(text))


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert output.printable(text) == text


@given(JSON)
def test_plain_values_are_read_as_they_are(value: object) -> None:
    if SIGNATURE not in json.dumps(value):
        assert readable(value) == value


@given(st.lists(st.sampled_from(["list", "key", "other"]), max_size=5))
def test_a_secret_is_hidden_however_deep_it_lies(path: list[str]) -> None:
    value: object = {SIGNATURE: SECRET, "value": "hunter2", "ciphertext": "hunter2"}
    for kind in path:
        value = [value] if kind == "list" else {kind: value, "x": 1}
    assert "hunter2" not in json.dumps(readable(value))
    assert "hunter2" not in shown(value)


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_reach_the_document(document: dict[str, object]) -> None:
    backwards = dict(reversed(list(document.items())))
    assert output.encode(document) == output.encode(backwards)


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        output.encode({"x": float("nan")})


def test_an_error_is_one_block_of_what_where_and_next(capsys: pytest.CaptureFixture[str]) -> None:
    error = StackLocked("held by ci-41\nsince noon", where="stack prod", hint="cloudmodel state unlock --id 1")
    output.show_error(error, as_json=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: held by ci-41\n       since noon\n  where: stack prod\n  next:  cloudmodel state unlock --id 1\n"
    )


def test_an_error_document_has_the_contracts_fields(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error(CloudmodelError("a\x1b[31m", where="b", details={"x": 1}), as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": "cloudmodel.error/1", "code": 1, "error": "CloudmodelError", "message": "a\x1b[31m", "where": "b",
        "hint": None, "details": {"x": 1},
    }  # fmt: skip
    assert "\x1b" not in out + err


def test_columns_are_aligned() -> None:
    assert output.table(("A", "LONGER"), [("x", "y"), ("wide", "")]) == "A     LONGER\nx     y\nwide"
