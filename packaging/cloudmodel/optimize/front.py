"""Which trials no other trial beats: non-dominated ranking (Deb and others, IEEE TEC 6, 2002), never a weighted sum."""

from __future__ import annotations

from collections.abc import Sequence

Point = Sequence[float]
"""One number an objective; larger is better in each."""


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere worse and somewhere better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


def ranks(points: Sequence[Point]) -> list[int]:
    """0 for the points that no other dominates, 1 for those that only these do, and so on."""
    found = [-1] * len(points)
    level = 0
    while -1 in found:
        open_ = [number for number, rank in enumerate(found) if rank < 0]
        for number in open_:
            if not any(dominates(points[other], points[number]) for other in open_ if other != number):
                found[number] = level
        if all(found[number] < 0 for number in open_):  # cannot be: dominance has no cycles
            raise AssertionError("no point is undominated")
        level += 1
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """How far each point is from its neighbours, summed over the objectives; the ends of each are infinitely far."""
    distance = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda number: points[number][axis])
        span = points[order[-1]][axis] - points[order[0]][axis]
        distance[order[0]] = distance[order[-1]] = float("inf")
        for before, number, after in zip(order, order[1:], order[2:], strict=False):
            if span > 0:
                distance[number] += (points[after][axis] - points[before][axis]) / span
    return distance


def best(points: Sequence[Point], count: int) -> list[int]:
    """The numbers of the `count` best points: by rank, then by distance, then by order."""
    level, far = ranks(points), crowding(points)
    return sorted(sorted(range(len(points)), key=lambda number: (level[number], -far[number], number))[:count])
