"""What differs between old and new: pure functions over property values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cloudmodel.core.resource import DiffKind, Properties
from cloudmodel.engine.step import Change
from cloudmodel.engine.values import MISSING, PathPart, display, lookup, matches, parse_path


def with_ignored(news: Properties, olds: Properties, ignored: Iterable[str]) -> Properties:
    """`news` in which every path of `ignored` has its old value, or is gone where the old inputs had none."""
    for path in ignored:
        news = _copied(news, olds, parse_path(path))
    return news


def _copied(new: Any, old: Any, path: tuple[PathPart, ...]) -> Any:
    """`new` with what stands at `path` taken from `old`; a path that fits neither changes nothing."""
    if not path:
        return new if old is MISSING else old
    part, rest = path[0], path[1:]
    if isinstance(new, dict):
        olds = old if isinstance(old, dict) else {}
        keys = sorted({*new, *olds}) if part == "*" else [str(part)]
        result = dict(new)
        for key in keys:
            if not rest and key not in olds:
                result.pop(key, None)
            elif key in result or (not rest and key in olds):
                result[key] = _copied(result.get(key, MISSING), olds.get(key, MISSING), rest)
        return result
    if isinstance(new, list):
        items = old if isinstance(old, list) else []
        wanted = range(len(new)) if part == "*" else [part]
        both = [index for index in wanted if isinstance(index, int) and index < min(len(new), len(items))]
        return [_copied(item, items[at], rest) if at in both else item for at, item in enumerate(new)]
    return new


def forced(changes: Mapping[str, DiffKind], replace_on: Iterable[str]) -> dict[str, DiffKind]:
    """`changes` in which every path that `replace_on` names forces a replacement."""
    patterns = [parse_path(pattern) for pattern in replace_on]
    return {
        path: replacing(kind) if any(matches(pattern, parse_path(path)) for pattern in patterns) else kind
        for path, kind in changes.items()
    }


def replacing(kind: DiffKind) -> DiffKind:
    """The kind that forces a replacement."""
    return kind if kind.value.endswith("-replace") else DiffKind(f"{kind.value}-replace")


def described(changes: Mapping[str, DiffKind], olds: Properties, news: Properties) -> dict[str, Change]:
    """`changes` with their values for a reader, in the order of their paths; `olds` and `news` may hold secrets."""
    result = {}
    for path in sorted(changes):
        parts = parse_path(path)
        old, new = lookup(olds, parts), lookup(news, parts)
        result[path] = Change(
            kind=changes[path],
            old=None if old is MISSING else display(old),
            new=None if new is MISSING else display(new),
        )
    return result


def changed_keys(olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, DiffKind]:
    """The top-level keys that differ, for values that no provider compares."""
    result = {}
    for key in sorted({*olds, *news}):
        if key not in olds:
            result[key] = DiffKind.ADD
        elif key not in news:
            result[key] = DiffKind.DELETE
        elif olds[key] != news[key]:
            result[key] = DiffKind.UPDATE
    return result
