"""I19: random programs, with random failures, on both engines. `make campaign` runs ten times as many."""

from __future__ import annotations

import pytest

from parity import Life
from random_programs import SIDE_BY_SIDE, compared

pytestmark = pytest.mark.official_engine

PROGRAMS = 20


@pytest.mark.parametrize("first", range(0, PROGRAMS, SIDE_BY_SIDE))
def test_both_engines_do_the_same(life: Life, first: int) -> None:
    found = compared(life, range(first, first + SIDE_BY_SIDE)).differences
    assert not found, "\n".join(found)
