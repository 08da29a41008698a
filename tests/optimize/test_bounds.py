"""Bounds on a drop: scipy's exact intervals and plain simulation are the judges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from cloudmodel.optimize import bounds


@pytest.mark.parametrize(
    ("events", "count", "bound"), [(0, 180, 0.0165), (0, 100, 0.0295), (0, 299, 0.00997), (5, 5, 1.0), (1, 798, 0.0059)]
)
def test_no_losses_still_bound_the_drop_only_by_what_the_rows_can_tell(events: int, count: int, bound: float) -> None:
    assert bounds.at_most(events, count, 0.95) == pytest.approx(bound, abs=5e-5)


@given(st.integers(1, 5000), st.integers(0, 60), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_exact_bound_is_scipys_clopper_and_pearson(count: int, events: int, confidence: float) -> None:
    events = min(events, count)
    wanted = 1.0 if events == count else beta.ppf(confidence, events + 1, count - events)
    assert bounds.at_most(events, count, confidence) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("lost", "won", "count"), [(0.03, 0.03, 600), (0.10, 0.02, 400), (0.005, 0.0, 500)])
def test_lower_bound_holds_as_often_as_it_promises(lost: float, won: float, count: int) -> None:
    random = np.random.default_rng(5)
    drawn = random.multinomial(count, [lost, won, 1 - lost - won], size=1500)
    held = np.mean([bounds.paired(losses, gains, count, 0.95).low <= won - lost for losses, gains, _ in drawn])
    assert held >= 0.93


@given(st.integers(0, 40), st.integers(0, 40), st.integers(100, 3000))
def test_interval_holds_what_was_seen(losses: int, gains: int, count: int) -> None:
    found = bounds.paired(losses, gains, count, 0.95)
    assert -1 <= found.low <= found.mid <= found.high <= 1


@pytest.mark.parametrize(
    ("losses", "gains", "count", "margin", "needed"),
    [(0, 0, 180, 0.01, 299), (5, 0, 180, 0.01, None), (0, 0, 180, 0.0, None), (1, 0, 400, 0.01, range(401, 900))],
)
def test_rows_that_would_decide(losses: int, gains: int, count: int, margin: float, needed: object) -> None:
    found = bounds.rows_for(losses, gains, count, 0.95, margin)
    if isinstance(needed, range):
        assert found in needed
    else:
        assert found == needed


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(0.2, 1.0, 4000)
    found = bounds.bootstrap_mean(values, 0.95, seed=1)
    assert found.low == pytest.approx(values.mean() - 1.645 * values.std() / 4000**0.5, abs=0.003)
    assert found.high == pytest.approx(values.mean() + 1.645 * values.std() / 4000**0.5, abs=0.003)
