"""Drift as the contract tells it: which tracked property of which resource is not what the state says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.urn import STACK_TYPE

EXISTENCE = "id"
"""The property that stands for a resource that is gone."""


@dataclass(frozen=True)
class Item:
    """One property. Secret values are `[secret]` on both sides; `live` is None for a resource that is gone."""

    urn: str
    property: str
    state: Any
    live: Any


def infrastructure(steps: Iterable[Step]) -> Iterator[Item]:
    """What a refresh found, less what the program leaves to others by `ignore_changes` (what autoscaling decides)."""
    for step in steps:
        before = step.old
        if before is None or step.type == STACK_TYPE or step.op is Op.SAME:
            continue
        if step.op is Op.DELETE:
            yield Item(step.urn, EXISTENCE, before.id, None)
            continue
        for path, change in sorted(step.diff.items()):
            if not ignored(before, path):
                yield Item(step.urn, path, change.old, change.new)


def ignored(entry: Resource, path: str) -> bool:
    """Whether `path`, or something above it, is what the program of `entry` ignores."""
    return any(_within(path, each) for each in entry.ignore_changes)


def _within(path: str, pattern: str) -> bool:
    exact = re.escape(pattern).replace(r"\[\*\]", r"\[\d+\]").replace(r"\*", "[^.]+")
    return re.fullmatch(rf"{exact}([.\[].*)?", path) is not None
