"""Non-dominated ranking."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.optimize import front

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


@given(POINTS)
def test_first_rank_is_what_nothing_dominates(points: list[tuple[int, int, int]]) -> None:
    ranks = front.ranks(points)
    for number, point in enumerate(points):
        beaten = any(front.dominates(other, point) for other in points)
        assert (ranks[number] > 0) == beaten
        for other, rank in zip(points, ranks, strict=True):
            if front.dominates(other, point):
                assert rank < ranks[number]


@given(POINTS, st.integers(1, 12))
def test_best_keeps_whole_ranks_before_worse_ones(points: list[tuple[int, int, int]], count: int) -> None:
    kept = front.best(points, count)
    ranks = front.ranks(points)
    assert len(kept) == min(count, len(points))
    left = [ranks[number] for number in range(len(points)) if number not in kept]
    assert not left or max(ranks[number] for number in kept) <= min(left)


def test_extremes_are_kept_before_the_crowd() -> None:
    points = [(0, 10), (1, 9), (1.1, 8.9), (1.2, 8.8), (10, 0)]
    assert front.best(points, 2) == [0, 4]
