"""Protobuf to plain values and back: the only module that knows both forms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import struct_pb2

from cloudmodel.core.resource import Properties
from cloudmodel.engine.goal import Alias, Goal

_LARGEST_EXACT = 2**53
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """A Struct as plain JSON, keys sorted; whole numbers become int, as the wire knows floats only."""
    return {key: from_value(struct.fields[key]) for key in sorted(struct.fields)}


def from_value(value: struct_pb2.Value) -> Any:
    """One Value as plain JSON."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _LARGEST_EXACT else number
    return None


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain JSON as a Struct; raises TypeError for what JSON does not know."""
    struct = struct_pb2.Struct()
    for key, item in values.items():
        _fill(struct.fields[key], item)
    return struct


def _fill(value: struct_pb2.Value, item: Any) -> None:
    if item is None:
        value.null_value = struct_pb2.NULL_VALUE
    elif isinstance(item, bool):
        value.bool_value = item
    elif isinstance(item, int | float):
        value.number_value = item
    elif isinstance(item, str):
        value.string_value = item
    elif isinstance(item, Mapping):
        value.struct_value.SetInParent()
        for key, inner in item.items():
            _fill(value.struct_value.fields[key], inner)
    elif isinstance(item, list | tuple):
        value.list_value.SetInParent()
        for inner in item:
            _fill(value.list_value.values.add(), inner)
    else:
        raise TypeError(f"a property value cannot be a {type(item).__name__}")


def seconds(duration: str) -> float:
    """A duration as Pulumi programs write it (`5m`, `1h30m`, `500ms`); raises ValueError."""
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", duration):
        raise ValueError(f"not a duration such as 5m or 1h30m: {duration!r}")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(duration))


def goal(request: Any, inputs: Properties) -> Goal:
    """A RegisterResourceRequest as a Goal with `inputs`. Raises ValueError for a timeout that is no duration."""
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        inputs=inputs,
        parent=request.parent,
        provider=request.provider,
        version=request.version,
        dependencies=tuple(request.dependencies),
        property_dependencies={key: tuple(value.urns) for key, value in request.propertyDependencies.items()},
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        deleted_with=request.deletedWith,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=(*(Alias(urn=urn) for urn in request.aliasURNs), *aliases(request.aliases)),
        import_id=request.importId,
        custom_timeouts=timeouts(request.customTimeouts),
    )


def aliases(messages: Iterable[Any]) -> tuple[Alias, ...]:
    """Alias messages in plain words."""
    return tuple(
        Alias(urn=message.urn)
        if message.urn
        else Alias(
            name=message.spec.name,
            type=message.spec.type,
            stack=message.spec.stack,
            project=message.spec.project,
            parent=message.spec.parentUrn,
            no_parent=message.spec.noParent,
        )
        for message in messages
    )


def timeouts(message: Any) -> dict[str, float]:
    """A CustomTimeouts message as seconds by verb, the verbs without one left out."""
    texts = {verb: getattr(message, verb, "") for verb in ("create", "update", "delete", "read")}
    return {verb: seconds(text) for verb, text in texts.items() if text}
