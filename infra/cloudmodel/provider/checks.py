"""What a program may ask of a resource: known and required properties, kinds of values, defaults, automatic names."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from cloudmodel.core.resource import ARCHIVE, ASSET, SIGNATURE, UNKNOWN, Checked, CheckFailure, Properties
from cloudmodel.provider.rules.form import Field, Kind, Name, Rule

# Pulumi's bridged providers keep here which inputs came from them and not from the program.
DEFAULTS = "__defaults"
HEX_DIGITS = 7


def check(
    rule: Rule, urn: str, olds: Properties | None, news: Properties, seed: bytes, default_tags: Mapping[str, str]
) -> Checked:
    """Inputs with coerced values, defaults, tags of the provider and a name; and everything that is wrong."""
    asked = {name: value for name, value in news.items() if not name.startswith("__") and value is not None}
    failures = list(_unknown_names(rule, asked))
    inputs: Properties = {}
    for name, each in rule.fields.items():
        if name in asked:
            inputs[name] = _value(each, asked[name], name, failures)
        elif each.required:
            failures.append(CheckFailure(name, "is required and not given"))
    defaulted = [name for name, each in rule.fields.items() if name not in inputs and each.default is not None]
    inputs.update({name: rule.fields[name].default for name in defaulted})
    if default_tags and "tags" in rule.fields and isinstance(inputs.setdefault("tags", {}), dict):
        inputs["tags"] = {**default_tags, **inputs["tags"]}
    if rule.name:
        defaulted += _name(rule.name, urn, olds or {}, inputs, seed)
        failures += _name_failures(rule.name, inputs)
    return Checked({**inputs, DEFAULTS: sorted(defaulted)}, tuple(failures))


def holds_unknown(value: Any) -> bool:
    """True when a value that a preview cannot know yet is in `value`, at any depth."""
    if isinstance(value, dict):
        return any(holds_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(holds_unknown(each) for each in value)
    return bool(value == UNKNOWN)


def _unknown_names(rule: Rule, asked: Properties) -> Iterator[CheckFailure]:
    for name in sorted(set(asked) - set(rule.fields)):
        if name in rule.refused:
            yield CheckFailure(name, rule.refused[name])
        elif name in rule.outputs:
            yield CheckFailure(name, "is an output and cannot be set")
        else:
            yield CheckFailure(name, "is not a property of this resource" + _nearest(name, rule.fields))


def _nearest(name: str, known: Mapping[str, Field]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _value(each: Field, value: Any, path: str, failures: list[CheckFailure]) -> Any:
    """`value` as its kind wants it; what cannot be is added to `failures`."""
    if value == UNKNOWN:
        return value
    match each.kind:
        case Kind.BLOCK:
            return _block(each.fields, value, path, failures)
        case Kind.BLOCKS if isinstance(value, list):
            if each.single and len(value) > 1:
                failures.append(CheckFailure(path, "may hold one object only"))
            return [_block(each.fields, item, f"{path}[{index}]", failures) for index, item in enumerate(value)]
        case Kind.STRINGS if isinstance(value, list):
            return [_scalar(Kind.STRING, (), item, f"{path}[{index}]", failures) for index, item in enumerate(value)]
        case Kind.MAP if isinstance(value, dict):
            return {
                key: _scalar(Kind.STRING, (), item, f"{path}.{key}", failures)
                for key, item in value.items()
                if item is not None and not key.startswith("__")
            }
        case Kind.ASSET if isinstance(value, dict) and value.get(SIGNATURE) in (ASSET, ARCHIVE):
            return value
        case Kind.BLOCKS | Kind.STRINGS | Kind.MAP | Kind.ASSET:
            failures.append(CheckFailure(path, f"must be {each.kind}, not {_shown(value)}"))
            return value
        case _:
            return _scalar(each.kind, each.choices, value, path, failures)


def _block(fields: Mapping[str, Field], value: Any, path: str, failures: list[CheckFailure]) -> Any:
    if value == UNKNOWN:
        return value
    if not isinstance(value, dict):
        failures.append(CheckFailure(path, f"must be {Kind.BLOCK}, not {_shown(value)}"))
        return value
    asked = {name: item for name, item in value.items() if not name.startswith("__") and item is not None}
    for name in sorted(set(asked) - set(fields)):
        failures.append(CheckFailure(f"{path}.{name}", "is not a property here" + _nearest(name, fields)))
    for name, each in fields.items():
        if each.required and name not in asked:
            failures.append(CheckFailure(f"{path}.{name}", "is required and not given"))
    return {
        name: _value(fields[name], item, f"{path}.{name}", failures) for name, item in asked.items() if name in fields
    }


def _scalar(kind: Kind, choices: tuple[str, ...], value: Any, path: str, failures: list[CheckFailure]) -> Any:
    if value == UNKNOWN:
        return value
    found = _coerced(kind, value)
    if found is None:
        failures.append(CheckFailure(path, f"must be {kind}, not {_shown(value)}"))
        return value
    if choices and str(found) not in choices:
        failures.append(CheckFailure(path, f"must be one of {', '.join(choices)}, not {_shown(value)}"))
    return found


def _coerced(kind: Kind, value: Any) -> Any:
    """Numbers arrive as doubles, and programs write "3" and "true": Pulumi's providers take both."""
    match kind, value:
        case ((Kind.STRING | Kind.DECIMAL), str()):
            return value
        case ((Kind.STRING | Kind.DECIMAL), bool()):
            return str(value).lower()
        case ((Kind.STRING | Kind.DECIMAL), int() | float()):
            return f"{value:g}" if isinstance(value, float) else str(value)
        case Kind.BOOLEAN, bool():
            return value
        case Kind.BOOLEAN, "true" | "false":
            return value == "true"
        case ((Kind.INTEGER | Kind.NUMBER), bool()):
            return None
        case Kind.INTEGER, int() | float() | str():
            return _integer(value)
        case Kind.NUMBER, int():
            return value
        case Kind.NUMBER, float() | str():
            whole = _integer(value)
            return whole if whole is not None else _float(value)
        case ((Kind.POLICY | Kind.JSON), dict() | list()):
            return json.dumps(value)
        case ((Kind.POLICY | Kind.JSON), str()):
            return value if value == "" or _is_json_object(value) else None
        case _:
            return None


def _integer(value: int | float | str) -> int | None:
    number = _float(value)
    return int(number) if number is not None and number.is_integer() else None


def _float(value: int | float | str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except json.JSONDecodeError:
        return False


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _name(name: Name, urn: str, olds: Properties, inputs: Properties, seed: bytes) -> list[str]:
    """Give the automatic name where the program gave none; the properties that came from here."""
    if name.property in inputs:
        return []
    prefix = inputs.get(name.prefix) if name.prefix else None
    if prefix == UNKNOWN:
        inputs[name.property] = UNKNOWN
        return [name.property]
    kept = olds.get(name.property) if name.property in olds.get(DEFAULTS, [name.property]) else None
    if kept and kept != UNKNOWN and olds.get(name.prefix) == prefix:
        inputs[name.property] = kept
        return [name.property]
    logical = urn.rsplit("::", 1)[-1]
    if prefix and not isinstance(prefix, str):
        return []
    start = prefix or f"{'' if logical.startswith(name.lead) else name.lead}{logical}-"
    inputs[name.property] = (start.lower() if name.lower else start) + digits(seed, urn) + fifo(inputs)
    return [name.property]


def fifo(inputs: Properties) -> str:
    """SNS wants the names of FIFO topics to end so."""
    return ".fifo" if inputs.get("fifoTopic") is True else ""


def digits(seed: bytes, urn: str) -> str:
    """7 hex digits that `seed` decides; random ones where the engine gave no seed."""
    return hashlib.sha256(seed + urn.encode()).hexdigest()[:HEX_DIGITS] if seed else secrets.token_hex(4)[:HEX_DIGITS]


def _name_failures(name: Name, inputs: Properties) -> Iterator[CheckFailure]:
    value = inputs.get(name.property)
    if not isinstance(value, str) or value == UNKNOWN:
        return
    if name.prefix and inputs.get(name.prefix) and not value.startswith(str(inputs[name.prefix])):
        yield CheckFailure(name.prefix, f"cannot be given together with {name.property}")
    if len(value) > name.length:
        yield CheckFailure(name.property, f"{value!r} has {len(value)} characters; at most {name.length} are allowed")
    elif not re.fullmatch(name.pattern, value):
        yield CheckFailure(name.property, f"{value!r} is not allowed: {name.allowed}")
