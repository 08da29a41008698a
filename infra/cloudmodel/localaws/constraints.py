"""What AWS checks of a request and botocore does not: required members, lengths, ranges, patterns, enums.

`violations(service, operation, request)` walks botocore's own input shape, so a new instance type or limit comes with
botocore. Sentences are AWS's ("1 validation error detected: Value 'x' at 'productionVariants.1.member.instanceType'
failed to satisfy constraint: ..."), seen in public issue threads. Patterns are Java's; they must match the whole value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

Shape = Any

# Java's Unicode classes inside a bracket, in the terms of Python's `re` (which has no \p). A mark, symbol or
# punctuation sign cannot be named in a bracket, so a pattern that allows those allows every printable sign.
_CLASSES = (
    (r"\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}", r"\S\s"),
    (r"\p{L}\p{M}\p{S}\p{N}\p{P}", r"\S"),
    (r"\p{L}\p{M}\p{Z}\p{N}\p{P}", r"\S\s"),
    (r"\p{L}\p{Z}\p{N}_", r"\w\s"),
    (r"\p{Alnum}", r"a-zA-Z0-9"),
    (r"[\p{Print}]", r"[\x20-\x7e]"),
    (r"\p{Print}", r"[\x20-\x7e]"),
    (r"\p{ASCII}", r"[\x00-\x7f]"),
    (r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff"),
    (r"\uE000-\uFFFD", "\ue000-\ufffd"),
    (r"\u0020-\uD7FF", " -\ud7ff"),
    (r"${1,", r"{1,"),
    (r"\z", r"\Z"),
)
_NUMBERS = frozenset({"integer", "long", "float", "double"})


def violations(service: str, operation: str, request: Mapping[str, Any]) -> str | None:
    """AWS's sentence on everything that is wrong with `request`, or None. Raises botocore's OperationNotFoundError."""
    shape = _model(service).operation_model(operation).input_shape
    found = list(_of_structure(shape, request, "")) if shape is not None else []
    if not found:
        return None
    noun = "validation error" if len(found) == 1 else "validation errors"
    return f"{len(found)} {noun} detected: {'; '.join(found)}"


@functools.cache
def _model(service: str) -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of a service model as Python's; raises re.error for one that has no translation yet."""
    for java, python in _CLASSES:
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def _of_structure(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield _wrong_type(path, "a structure")
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_member(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _of(member, value[name], _member(path, name))


def _of_list(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _wrong_type(path, "a list")
        return
    yield from _length(shape, value, path)
    for number, entry in enumerate(value, start=1):
        yield from _of(shape.member, entry, f"{path}.{number}.member")


def _of_map(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield _wrong_type(path, "a map")
        return
    yield from _length(shape, value, path)
    for key, entry in value.items():
        yield from _of(shape.key, key, f"{path}.{key}.key")
        yield from _of(shape.value, entry, f"{path}.{key}.member")


def _of_string(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _wrong_type(path, "a string")
        return
    shown = "***" if shape.metadata.get("sensitive") else value
    if shape.enum and value not in shape.enum:
        yield _failed(shown, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    yield from _length(shape, value, path, shown)
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).fullmatch(value):
        yield _failed(shown, path, f"Member must satisfy regular expression pattern: {pattern}")


def _of_number(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield _wrong_type(path, "a number")
        return
    if shape.type_name in ("integer", "long") and value != int(value):
        yield _wrong_type(path, "an integer")
        return
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _failed(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _failed(value, path, f"Member must have value less than or equal to {most}")


def _of_boolean(_: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield _wrong_type(path, "a boolean")


def _of_anything(_: Shape, __: Any, ___: str) -> Iterator[str]:
    return iter(())


_RULES = {
    "structure": _of_structure,
    "list": _of_list,
    "map": _of_map,
    "string": _of_string,
    "boolean": _of_boolean,
    **dict.fromkeys(_NUMBERS, _of_number),
}


def _of(shape: Shape, value: Any, path: str) -> Iterator[str]:
    return _RULES.get(shape.type_name, _of_anything)(shape, value, path)


def _length(shape: Shape, value: Any, path: str, shown: Any = None) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    shown = value if shown is None else shown
    if least is not None and len(value) < least:
        yield _failed(shown, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _failed(shown, path, f"Member must have length less than or equal to {most}")


def _member(path: str, name: str) -> str:
    lowered = name[0].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


def _failed(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _wrong_type(path: str, expected: str) -> str:
    return f"Value at '{path or 'request'}' failed to satisfy constraint: Member must be {expected}"
