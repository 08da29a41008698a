"""Names are those that AWS's own service models allow."""

from __future__ import annotations

import re

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core import naming


def test_sagemaker_names_are_botocores() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    for shape in ("EndpointName", "EndpointConfigName", "VariantName"):
        metadata = model.shape_for(shape).metadata
        assert metadata["max"] == naming.SAGEMAKER_NAME_LENGTH
        assert metadata["pattern"] == naming.SAGEMAKER_NAME.pattern


@given(st.from_regex(naming.SAGEMAKER_NAME, fullmatch=True).filter(str.isascii), st.integers(10, 63))
def test_a_fitted_name_is_still_a_name(name: str, length: int) -> None:
    fitted = naming.fit(name, length)
    assert len(fitted) <= length
    assert re.fullmatch(naming.SAGEMAKER_NAME, fitted)
    assert fitted == name if len(name) <= length else fitted != name


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_names_that_are_cut_stay_two_names(one: str, other: str) -> None:
    try:
        same = naming.short_hash(one) == naming.short_hash(other)
    except UnicodeEncodeError:
        return
    assert same == (one == other)


def test_lists_that_join_to_the_same_text_differ() -> None:
    assert naming.short_hash("ab", "c") != naming.short_hash("a", "bc") != naming.short_hash("abc")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (naming.PROJECT_NAME, ["digits", "a", "a-1", "a" * 31], ["", "1a", "A", "-a", "a_b", "a" * 32, "a/b", "a\n"]),
        (naming.STACK_NAME, ["prod", "a.b_c-1"], ["", "a/b", "a b", "a" * 101, "ä"]),
        (naming.DIGEST, ["sha256:" + "0" * 64], ["sha256:" + "0" * 63, "0" * 64, "sha256:" + "G" * 64, "sha256:../x"]),
    ],
)
def test_what_is_a_name_and_what_is_not(pattern: re.Pattern[str], good: list[str], bad: list[str]) -> None:
    assert all(pattern.fullmatch(name) for name in good)
    assert not any(pattern.fullmatch(name) for name in bad)
