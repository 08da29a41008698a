"""What changed between a resource as it is known and the inputs that are wanted now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cloudmodel.core.resource import SIGNATURE, Difference, DiffKind, Properties
from cloudmodel.provider.checks import DEFAULTS, holds_unknown
from cloudmodel.provider.documents import same_json, same_policy
from cloudmodel.provider.rules.form import Field, Kind, Rule

REPLACING = {
    DiffKind.ADD: DiffKind.ADD_REPLACE,
    DiffKind.DELETE: DiffKind.DELETE_REPLACE,
    DiffKind.UPDATE: DiffKind.UPDATE_REPLACE,
}
PLAIN = re.compile(r"[A-Za-z_]\w*")
Change = tuple[str, DiffKind]


def diff(rule: Rule, old_inputs: Properties, old_outputs: Properties, news: Properties, region: str) -> Difference:
    """`news` against the live values (`old_outputs`); what the outputs do not say is looked up in `old_inputs`.

    What the cloud filled in where the program was silent is no change; neither is an empty value for a missing one.
    """
    wanted = {"region": region, **news} if "region" in rule.fields and "region" in old_outputs else news
    changes: dict[str, DiffKind] = {}
    for name, each in rule.fields.items():
        old = old_outputs[name] if name in old_outputs else old_inputs.get(name)
        for path, kind in compare(each, name, old, wanted.get(name)):
            changes[path] = REPLACING[kind] if each.replaces else kind
    replaced = any(kind.value.endswith("-replace") for kind in changes.values())
    return Difference(
        changes, delete_before_replace=replaced and (rule.delete_first or _name_stays(rule, news, changes))
    )


def _name_stays(rule: Rule, news: Properties, changes: dict[str, DiffKind]) -> bool:
    """True when the program fixed the name: two resources of one name cannot stand side by side."""
    name = rule.name
    return bool(name and name.property not in changes and name.property not in news.get(DEFAULTS, ()))


def compare(each: Field, path: str, old: Any, new: Any) -> Iterator[Change]:
    """The changes inside one property from the live value `old` to the wanted value `new`."""
    if holds_unknown(new) and not (isinstance(new, dict | list) and each.kind is not Kind.ASSET):
        yield path, DiffKind.UPDATE if not empty(old) else DiffKind.ADD
        return
    if new is None or (empty(new) and empty(old)):
        if new is None and not (each.computed or empty(old) or old == each.default):
            yield path, DiffKind.DELETE
        return
    match each.kind:
        case Kind.BLOCK:
            yield from _blocks_differ(each, path, old, new)
        case Kind.BLOCKS:
            yield from _lists_differ(each, path, old or [], new)
        case Kind.MAP:
            yield from _maps_differ(path, old or {}, new)
        case Kind.STRINGS:
            yield from _strings_differ(each, path, old or [], new)
        case _:
            if old is None and new != each.default:
                yield path, DiffKind.ADD
            elif old is not None and not _same(each.kind, old, new):
                yield path, DiffKind.UPDATE


def _blocks_differ(each: Field, path: str, old: Any, new: Any) -> Iterator[Change]:
    if empty(old) and old != new:
        yield path, DiffKind.ADD
        return
    for name, inner in each.fields.items():
        yield from compare(inner, f"{path}.{name}", old.get(name), new.get(name))


def _lists_differ(each: Field, path: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    element = Field(Kind.BLOCK, each.fields)
    if each.unordered:
        old = _aligned(element, old, new)
    for index, item in enumerate(new):
        before = old[index] if index < len(old) else None
        yield from compare(element, f"{path}[{index}]", before, item)
    for index in range(len(new), len(old)):
        yield f"{path}[{index}]", DiffKind.DELETE


def _aligned(element: Field, old: list[Any], new: list[Any]) -> list[Any]:
    """`old` in the order of `new`: equal ones in each other's place, the others where there is room."""
    left = [*old]
    places: list[Any] = [None] * len(new)
    for index, item in enumerate(new):
        match = next((each for each in left if not list(compare(element, "", each, item))), None)
        if match is not None:
            places[index] = match
            left.remove(match)
    for index, place in enumerate(places):
        if place is None and left:
            places[index] = left.pop(0)
    return places + left


def _maps_differ(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for key in sorted(old.keys() | new.keys()):
        step = f"{path}.{key}" if PLAIN.fullmatch(key) else f'{path}["{key}"]'
        if key not in new:
            yield step, DiffKind.DELETE
        elif key not in old:
            yield step, DiffKind.ADD
        elif old[key] != new[key]:
            yield step, DiffKind.UPDATE


def _strings_differ(each: Field, path: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    if each.unordered:
        old, new = sorted(old), sorted(new)
    for index in range(max(len(old), len(new))):
        if index >= len(new):
            yield f"{path}[{index}]", DiffKind.DELETE
        elif index >= len(old):
            yield f"{path}[{index}]", DiffKind.ADD
        elif old[index] != new[index]:
            yield f"{path}[{index}]", DiffKind.UPDATE


def _same(kind: Kind, old: Any, new: Any) -> bool:
    match kind:
        case Kind.POLICY:
            return same_policy(old, new)
        case Kind.JSON:
            return same_json(old, new)
        case Kind.ASSET:
            return bool(_asset_hash(old) == _asset_hash(new))
        case Kind.DECIMAL | Kind.NUMBER | Kind.INTEGER:
            return bool(_number(old) == _number(new))
        case _:
            return bool(old == new)


def _asset_hash(value: Any) -> Any:
    """An asset is its content: another path with the same hash is the same."""
    return value.get("hash") or value if isinstance(value, dict) and SIGNATURE in value else value


def _number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def empty(value: Any) -> bool:
    """True for what AWS and Terraform write where nothing was said: null, "", false, 0, [] and objects of those."""
    if isinstance(value, dict):
        return all(empty(each) for each in value.values())
    return value in (None, "", False, 0) or value == []
