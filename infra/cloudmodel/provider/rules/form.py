"""The words in which the tables of this folder are written: what a property is and what a change of it means.

Names are pulumi_aws 7.x wire names. A `Field` also knows how the AWS API spells it, so that one pair of functions
(`to_aws`, `from_aws`) translates every resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cloudmodel.core.resource import Properties


class Kind(StrEnum):
    """What a value of a property looks like."""

    STRING = "a string"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    STRINGS = "a list of strings"
    MAP = "a map of strings"
    BLOCK = "an object"
    BLOCKS = "a list of objects"
    ASSET = "an asset or archive"
    POLICY = "a policy document (JSON)"
    JSON = "a JSON document"
    DECIMAL = "a number as a string"


@dataclass(frozen=True)
class Field:
    """One property.

    `replaces`: a change needs a new resource. `computed`: the cloud fills it in where the program is silent, so its
    absence is no change. `default`: what `check` writes where the program is silent. `local`: the cloud never holds
    it (forceDestroy, skipDestroy); a read takes it from the old inputs. `unordered`: a list that is a set.
    `aws`: its name in the API where that is not the capitalised wire name. `single`: a list of one here that is an
    object in the API. `pairs`: a map here that is a list of objects with these two keys in the API.
    """

    kind: Kind
    fields: Mapping[str, Field] = field(default_factory=dict)
    required: bool = False
    replaces: bool = False
    computed: bool = False
    default: Any = None
    local: bool = False
    unordered: bool = False
    choices: tuple[str, ...] = ()
    aws: str = ""
    single: bool = False
    pairs: tuple[str, str] | None = None


@dataclass(frozen=True)
class Name:
    """An automatic name: `property` gets the logical name, "-" and 7 hex digits; at most `length` characters.

    `prefix` is the property that takes the logical name's place; `lead` stands before every automatic name;
    `pattern` is what the service allows, and `allowed` says the same in words.
    """

    property: str
    length: int
    pattern: str
    allowed: str
    prefix: str = ""
    lead: str = ""
    lower: bool = False


@dataclass(frozen=True)
class Rule:
    """One resource type. `outputs` are computed only; `volatile` names what an update of more than tags changes.

    `refused` are properties that pulumi_aws has and this provider does not do, with what to use instead.
    `delete_first`: a replacement must delete before it creates, whatever the name.
    """

    fields: Mapping[str, Field]
    outputs: tuple[str, ...] = ()
    name: Name | None = None
    volatile: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    delete_first: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Properties that the program must give."""
        return tuple(name for name, each in self.fields.items() if each.required)


def text(**more: Any) -> Field:
    return Field(Kind.STRING, **more)


def integer(**more: Any) -> Field:
    return Field(Kind.INTEGER, **more)


def number(**more: Any) -> Field:
    return Field(Kind.NUMBER, **more)


def flag(**more: Any) -> Field:
    return Field(Kind.BOOLEAN, **more)


def texts(**more: Any) -> Field:
    return Field(Kind.STRINGS, **more)


def mapping(**more: Any) -> Field:
    return Field(Kind.MAP, **more)


def policy(**more: Any) -> Field:
    return Field(Kind.POLICY, **more)


def document(**more: Any) -> Field:
    return Field(Kind.JSON, **more)


def block(fields: Mapping[str, Field], **more: Any) -> Field:
    return Field(Kind.BLOCK, fields, **more)


def blocks(fields: Mapping[str, Field], **more: Any) -> Field:
    return Field(Kind.BLOCKS, fields, **more)


REGION = text(replaces=True, computed=True)
TAGS = mapping()
REGIONAL: Mapping[str, Field] = {"region": REGION}
TAGGED: Mapping[str, Field] = {"region": REGION, "tags": TAGS}


def api_name(name: str, each: Field) -> str:
    """The API's spelling of a wire name."""
    return each.aws or name[0].upper() + name[1:]


def to_aws(fields: Mapping[str, Field], values: Mapping[str, Any]) -> Properties:
    """The parameters of an API call for `values`; local and absent properties are left out."""
    return {
        api_name(name, each): _to_aws(each, values[name])
        for name, each in fields.items()
        if values.get(name) is not None and not each.local
    }


def from_aws(fields: Mapping[str, Field], answer: Mapping[str, Any]) -> Properties:
    """The properties that an API's answer holds; what it leaves out or answers empty is left out."""
    found = {
        name: _from_aws(each, answer[api_name(name, each)])
        for name, each in fields.items()
        if not each.local and answer.get(api_name(name, each)) is not None
    }
    return {name: value for name, value in found.items() if value not in ({}, [], None)}


def _to_aws(each: Field, value: Any) -> Any:
    match each.kind:
        case Kind.BLOCK:
            return to_aws(each.fields, value)
        case Kind.BLOCKS:
            items = [to_aws(each.fields, item) for item in value]
            return items[0] if each.single and items else items
        case Kind.MAP if each.pairs:
            key, content = each.pairs
            return [{key: k, content: v} for k, v in sorted(value.items())]
        case Kind.STRINGS:
            return [*value]
        case Kind.DECIMAL:
            return float(value)
        case _:
            return value


def _from_aws(each: Field, value: Any) -> Any:
    match each.kind:
        case Kind.BLOCK:
            return from_aws(each.fields, value)
        case Kind.BLOCKS:
            items = [value] if each.single else value
            return [from_aws(each.fields, item) for item in items if item]
        case Kind.MAP if each.pairs:
            key, content = each.pairs
            return {item[key]: item[content] for item in value}
        case Kind.INTEGER:
            return int(value)
        case Kind.DECIMAL:
            return f"{value:g}"
        case Kind.NUMBER:
            return int(value) if float(value).is_integer() else float(value)
        case _:
            return value
