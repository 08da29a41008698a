"""pulumi_aws's own classes judge the tables: every name, nested ones too, and what must be given."""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pytest
from pulumi import _types as pulumi_types

from cloudmodel.provider.provider import FUNCTIONS, MANAGED
from cloudmodel.provider.rules import RULES
from cloudmodel.provider.rules.form import Field, Kind, Rule

# Importing all of pulumi_aws.s3 imports what it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TOKENS = sorted(RULES)
LISTS = (list, collections.abc.Sequence)
MAPS = (dict, collections.abc.Mapping)


def resource_class(token: str) -> type[pulumi.CustomResource]:
    """The class of pulumi_aws that registers `token`."""
    _, place, name = token.split(":")
    found: type[pulumi.CustomResource] = getattr(importlib.import_module("pulumi_aws." + place.split("/")[0]), name)
    assert token in inspect.getsource(found._internal_init)  # type: ignore[attr-defined]
    return found


def input_names(found: type) -> dict[str, bool]:
    """Wire names of the inputs; true where pulumi_aws refuses to go without."""
    properties = importlib.import_module(found.__module__)
    arguments = getattr(properties, f"{found.__name__}InitArgs", None) or getattr(properties, f"{found.__name__}Args")
    wire = pulumi_types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters
    return {wire[name]: each.default is inspect.Parameter.empty for name, each in parameters.items() if name in wire}


def unwrapped(found: Any) -> tuple[Any, str]:
    """The element type of a property, and whether it is a plain value, a list or a map of them."""
    found, shape = pulumi_types.unwrap_type(found), ""
    while (origin := typing.get_origin(found)) in (*LISTS, *MAPS):
        shape = shape or ("list" if origin in LISTS else "map")
        found = pulumi_types.unwrap_type(typing.get_args(found)[-1])
    return found, shape


def nested(found: type, fields: Mapping[str, Field], path: str) -> Iterator[tuple[str, Field, Any]]:
    """Every field below `fields` with the type that pulumi_aws gives it."""
    types = pulumi_types.output_type_types(found)
    required = pulumi_types._required_property_names(found)
    for name, each in fields.items():
        assert name in types, f"{path}.{name}"
        assert each.required == (name in required), f"{path}.{name}: required"
        yield f"{path}.{name}", each, types[name]
        if each.fields:
            yield from nested(unwrapped(types[name])[0], each.fields, f"{path}.{name}")


def every_field(token: str) -> Iterator[tuple[str, Field, Any]]:
    types = pulumi_types.resource_types(resource_class(token))
    for name, each in RULES[token].fields.items():
        yield name, each, types[name]
        if each.fields:
            yield from nested(unwrapped(types[name])[0], each.fields, name)


def matches(kind: Kind, found: Any) -> bool:
    """True when a value of this kind is what pulumi_aws declares."""
    element, shape = unwrapped(found)
    is_object = pulumi_types.is_output_type(element)
    match kind:
        case Kind.BLOCK:
            return is_object and shape == ""
        case Kind.BLOCKS:
            return is_object and shape == "list"
        case Kind.STRINGS:
            return element is str and shape == "list"
        case Kind.MAP:
            return element is str and shape == "map"
        case Kind.INTEGER:
            return element is int and shape == ""
        case Kind.NUMBER:
            return element is float and shape == ""
        case Kind.BOOLEAN:
            return element is bool and shape == ""
        case Kind.ASSET:
            return "Asset" in str(found)
        case _:
            return element is str and shape == ""


def test_every_type_has_a_table_and_a_file() -> None:
    assert set(MANAGED) == set(RULES)


@pytest.mark.parametrize("token", TOKENS)
def test_the_inputs_are_those_of_pulumi_aws_and_none_is_passed_over(token: str) -> None:
    rule = RULES[token]
    assert set(rule.fields) | set(rule.refused) == set(input_names(resource_class(token)))
    assert not set(rule.fields) & set(rule.refused)


@pytest.mark.parametrize("token", TOKENS)
def test_what_is_required_there_is_required_here(token: str) -> None:
    there = {name for name, required in input_names(resource_class(token)).items() if required}
    assert set(RULES[token].required) == there


@pytest.mark.parametrize("token", TOKENS)
def test_every_nested_property_exists_there_with_that_kind(token: str) -> None:
    for path, each, found in every_field(token):
        assert matches(each.kind, found), f"{path}: {each.kind} is not {found}"


@pytest.mark.parametrize("token", TOKENS)
def test_outputs_exist_there_and_are_not_inputs(token: str) -> None:
    rule: Rule = RULES[token]
    outputs = set(pulumi_types.resource_types(resource_class(token)))
    assert set(rule.outputs) <= outputs - set(input_names(resource_class(token)))
    computed = {name for name, each in rule.fields.items() if each.computed}
    assert set(rule.volatile) <= set(rule.outputs) | computed


@pytest.mark.parametrize("token", TOKENS)
def test_the_automatic_name_goes_to_a_property_that_exists(token: str) -> None:
    name = RULES[token].name
    if name:
        assert name.property in RULES[token].fields
        assert not name.prefix or RULES[token].fields[name.prefix].replaces


@pytest.mark.parametrize("token", sorted(FUNCTIONS))
def test_functions_are_those_of_pulumi_aws(token: str) -> None:
    _, place, name = token.split(":")
    service = place.split("/")[0].replace("index", "")
    path = ".".join(part for part in ("pulumi_aws", service, re.sub("([A-Z])", r"_\1", name).lower()) if part)
    module = importlib.import_module(path)
    assert token in inspect.getsource(module)
