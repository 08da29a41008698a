"""Pure operations on property values in the form of `core.resource`: secrets, unknowns, references, paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from cloudmodel.core.resource import (
    ARCHIVE,
    ASSET,
    RESOURCE_REFERENCE,
    SECRET,
    SIGNATURE,
    UNKNOWN,
    Properties,
)

PathPart = str | int
MISSING: Any = object()
_PART = re.compile(r"""\.?([^.\[\]]+)|\[(\d+|\*)\]|\["((?:[^"\\]|\\.)*)"\]""")


def signature(value: Any) -> str | None:
    """The signature of a special object, else None."""
    return value.get(SIGNATURE) if isinstance(value, dict) else None


def is_secret(value: Any) -> bool:
    """True for a secret itself; not for an object that holds one."""
    return signature(value) == SECRET


def secret(value: Any) -> Any:
    """`value` as a secret, once."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": plain(value)}


def rewritten(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with `change` applied to every node from the leaves up; untouched parts are shared, not copied."""
    if isinstance(value, dict):
        new = {key: rewritten(item, change) for key, item in value.items()}
        value = value if all(new[key] is value[key] for key in new) else new
    elif isinstance(value, list):
        items = [rewritten(item, change) for item in value]
        value = value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return change(value)


def plain(value: Any) -> Any:
    """`value` without any secret marks."""
    return rewritten(value, lambda node: node.get("value") if is_secret(node) else node)


def without_references(value: Any) -> Any:
    """`value` with references to resources replaced by their ids, or by their URNs where they have none."""

    def change(node: Any) -> Any:
        if signature(node) != RESOURCE_REFERENCE:
            return node
        return node.get("id", node.get("urn"))

    return rewritten(value, change)


def annotated(value: Any, like: Any) -> Any:
    """`value` with a secret at every place where `like` has one."""
    if is_secret(like):
        return secret(value)
    if isinstance(value, dict) and isinstance(like, dict) and not is_secret(value):
        new = {key: annotated(item, like[key]) if key in like else item for key, item in value.items()}
        return value if all(new[key] is value[key] for key in new) else new
    if isinstance(value, list) and isinstance(like, list):
        if len(value) == len(like):
            items = [annotated(item, other) for item, other in zip(value, like, strict=True)]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        return secret(value) if any(_holds_secret(item) for item in like) else value
    return value


def with_secret_keys(outputs: Properties, keys: tuple[str, ...]) -> Properties:
    """`outputs` with the named top-level values as secrets."""
    if not keys:
        return outputs
    return {key: secret(value) if key in keys else value for key, value in outputs.items()}


def _holds_secret(value: Any) -> bool:
    return any(is_secret(node) for node in nodes(value))


def nodes(value: Any) -> Iterator[Any]:
    """Every node of `value`, itself first."""
    yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def has_unknowns(value: Any) -> bool:
    """True when a part of `value` is not known yet."""
    return any(node == UNKNOWN for node in nodes(value) if isinstance(node, str))


def secrets_in(value: Any) -> Iterator[Any]:
    """The plaintext of every secret in `value`."""
    for node in nodes(value):
        if is_secret(node) and "value" in node:
            yield node["value"]


def display(value: Any) -> Any:
    """`value` for a reader: secrets and unknowns named, assets by the beginning of their hash."""
    kind = signature(value)
    if kind == SECRET:
        return "[secret]"
    if kind in (ASSET, ARCHIVE):
        name = "asset" if kind == ASSET else "archive"
        return f"{name}(file:{str(value.get('hash', ''))[:7]})"
    if value == UNKNOWN:
        return "[unknown]"
    if isinstance(value, dict):
        return {key: display(item) for key, item in value.items()}
    if isinstance(value, list):
        return [display(item) for item in value]
    return value


def parse_path(path: str) -> tuple[PathPart, ...]:
    """The parts of a wire path such as `tags.owner`, `rules[0].id`, `rules[*].id` or `tags["a.b"]`."""
    parts: list[PathPart] = []
    for match in _PART.finditer(path):
        name, index, quoted = match.groups()
        if index is not None:
            parts.append("*" if index == "*" else int(index))
        else:
            parts.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
    return tuple(parts)


def lookup(value: Any, path: tuple[PathPart, ...]) -> Any:
    """What stands at `path` in `value`, a secret if it lies inside one; MISSING where nothing does."""
    for position, part in enumerate(path):
        if is_secret(value):
            found = lookup(value.get("value"), path[position:])
            return found if found is MISSING else secret(found)
        known = part in value if isinstance(value, dict) else isinstance(value, list) and part in range(len(value))
        if known:
            value = value[part]
        else:
            return MISSING
    return value


def matches(pattern: tuple[PathPart, ...], path: tuple[PathPart, ...]) -> bool:
    """True when `path` is what `pattern` names or lies inside it; `*` stands for any one part."""
    return len(pattern) <= len(path) and all(a in (b, "*") for a, b in zip(pattern, path, strict=False))
