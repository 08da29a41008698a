"""I12: the one mask hides every secret, however a message quotes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.resource import SECRET, SIGNATURE
from cloudmodel.engine.masking import MASK, Masker

FORMS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "json": json.dumps,
    "repr": repr,
    "url": lambda text: quote(text, safe=""),
    "a word in a sentence": lambda text: f"the value {text} is refused",
}
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=3).filter(lambda text: len(text.strip()) >= 3)


@pytest.mark.parametrize("form", FORMS)
@given(text=SECRETS)
def test_no_form_of_a_secret_survives(form: str, text: str) -> None:
    masker = Masker()
    masker.learn({"deep": [{SIGNATURE: SECRET, "value": {"x": text}}]})

    shown = masker.mask(FORMS[form](text))

    assert MASK in shown
    assert text not in shown.replace(MASK, "")


@given(before=st.text(), text=SECRETS)
def test_what_is_not_secret_is_left_alone(before: str, text: str) -> None:
    masker = Masker()
    assert masker.mask(before) == before
    masker.learn({"plain": text})
    assert masker.mask(text) == text


def test_a_line_of_a_key_is_hidden() -> None:
    masker = Masker()
    masker.add("-----BEGIN-----\nMIIEpAIBAAKCAQEA\n-----END-----")

    assert masker.mask("bad line: MIIEpAIBAAKCAQEA") == f"bad line: {MASK}"


def test_numbers_are_hidden_and_short_words_are_not() -> None:
    masker = Masker()
    masker.add([123456, "ab", True, 7])

    assert masker.mask("123456 ab True 7") == f"{MASK} ab True 7"


def test_the_longer_secret_wins() -> None:
    masker = Masker()
    masker.add("pass")
    masker.add("password")

    assert masker.mask("password") == MASK
