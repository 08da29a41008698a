"""The checks over botocore's shapes: values that a shape allows pass, values that it forbids are named."""

from __future__ import annotations

import re
import struct
from typing import Any

import botocore.session
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, assume, given, settings

from cloudmodel.localaws.constraints import compiled, violations
from cloudmodel.localaws.endpoints import as_float32

SESSION = botocore.session.get_session()
SERVICES = ("sagemaker", "sagemaker-runtime", "application-autoscaling")
OPERATIONS = (
    "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities",
    "AddTags", "ListEndpoints",
)  # fmt: skip


def shape_of(operation: str) -> Any:
    return SESSION.get_service_model("sagemaker").operation_model(operation).input_shape


def patterns(service: str) -> set[str]:
    model = SESSION.get_service_model(service)
    found = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names}
    return {pattern for pattern in found if pattern}


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_a_service_has_a_translation(service: str) -> None:
    assert patterns(service)
    for pattern in patterns(service):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 2_a/b=c+d-e@f", "<"),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,256}", "team: vision", "a;b"),
        (r"\p{ASCII}*", "text/csv; header=yes", "é"),
        (r"\A\S[\p{Print}]*\z", "id-1 x", " id"),
        (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "a-b", "a_b"),
    ],
)
def test_java_patterns_mean_the_same_here(pattern: str, good: str, bad: str) -> None:
    assert compiled(pattern).fullmatch(good)
    assert not compiled(pattern).fullmatch(bad)


def strings(shape: Any) -> st.SearchStrategy[str]:
    if shape.enum:
        return st.sampled_from(shape.enum)
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 40)
    pattern = shape.metadata.get("pattern")
    if pattern is None:
        return st.text("abc-/", min_size=least, max_size=min(most, least + 40))
    return st.from_regex(compiled(pattern), fullmatch=True).filter(lambda text: least <= len(text) <= most)


def values(shape: Any) -> st.SearchStrategy[Any]:
    """Values that `shape` allows."""
    metadata = shape.metadata
    match shape.type_name:
        case "structure":
            required = {name: values(shape.members[name]) for name in shape.required_members}
            optional = {name: values(member) for name, member in shape.members.items() if name not in required}
            return st.fixed_dictionaries(required, optional=dict(list(optional.items())[:3]))
        case "list":
            least = metadata.get("min", 0)
            return st.lists(values(shape.member), min_size=least, max_size=max(least, 2))
        case "map":
            return st.dictionaries(strings(shape.key), strings(shape.value), max_size=2)
        case "string":
            return strings(shape)
        case "integer" | "long":
            least = metadata.get("min", 0)
            return st.integers(least, metadata.get("max", least + 10**6))
        case "float" | "double":
            return st.floats(metadata.get("min", 0), metadata.get("max", 1e6))
        case "boolean":
            return st.booleans()
    return st.just(0)


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_the_shapes_allow_is_no_violation(operation: str, data: st.DataObject) -> None:
    request = data.draw(values(shape_of(operation)))
    assert violations("sagemaker", operation, request) is None


def leaves(shape: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every limited value that a request of this shape can hold, with the way to it."""
    if shape.type_name == "structure":
        return [leaf for name, member in shape.members.items() for leaf in leaves(member, (*path, name))]
    if shape.type_name == "list":
        return leaves(shape.member, (*path, 0))
    limited = {"min", "max", "pattern", "enum"} & shape.metadata.keys() or getattr(shape, "enum", None)
    return [(path, shape)] if limited and shape.type_name in ("string", "integer", "float") else []


LEAVES = [
    (operation, path, shape)
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint", "AddTags")
    for path, shape in leaves(shape_of(operation))
]


def broken(shape: Any) -> list[tuple[Any, str]]:
    """Values that `shape` forbids, each with the sentence that it must bring."""
    metadata, found = shape.metadata, []
    if shape.type_name == "string":
        if shape.enum:
            return [("nothing-of-the-kind", "Member must satisfy enum value set: [")]
        if "max" in metadata:
            found.append(("x" * (metadata["max"] + 1), f"length less than or equal to {metadata['max']}"))
        if metadata.get("min", 0) > 0:
            found.append(("", f"length greater than or equal to {metadata['min']}"))
        if "pattern" in metadata and not compiled(metadata["pattern"]).fullmatch("\0"):
            found.append(("\0", "Member must satisfy regular expression pattern: "))
        return found
    if "max" in metadata:
        found.append((metadata["max"] + 1, f"value less than or equal to {metadata['max']}"))
    if "min" in metadata:
        found.append((metadata["min"] - 1, f"value greater than or equal to {metadata['min']}"))
    return found


def test_there_is_something_to_break() -> None:
    assert len(LEAVES) > 80
    assert sum(1 for _, _, shape in LEAVES if broken(shape)) > 60


@pytest.mark.parametrize(("operation", "path", "shape"), LEAVES, ids=lambda value: str(value)[:60])
def test_each_limit_of_the_service_model_is_held(operation: str, path: tuple[Any, ...], shape: Any) -> None:
    for value, sentence in broken(shape):
        request: Any = value
        for step in reversed(path):
            request = [request] if step == 0 else {step: request}
        found = violations("sagemaker", operation, request)
        where = ".".join("1.member" if step == 0 else step[0].lower() + step[1:] for step in path)
        assert found is not None
        assert re.match(r"\d+ validation errors? detected: ", found)
        assert any(f"at '{where}'" in part and sentence in part for part in found.split("; "))


def test_missing_members_and_wrong_types_are_named() -> None:
    found = violations("sagemaker", "CreateEndpoint", {"EndpointName": 5})
    assert found == (
        "2 validation errors detected: "
        "Value null at 'endpointConfigName' failed to satisfy constraint: Member must not be null; "
        "Value at 'endpointName' failed to satisfy constraint: Member must be a string"
    )


def test_sensitive_values_are_not_repeated() -> None:
    found = violations(
        "sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "e", "Body": "", "CustomAttributes": "é"}
    )
    assert found is not None
    assert "é" not in found
    assert "Value '***' at 'customAttributes'" in found


@given(st.floats(0, 1000, width=32))
def test_a_weight_is_the_shortest_decimal_of_its_32_bit_float(weight: float) -> None:
    shown = as_float32(weight)
    assert struct.pack("f", shown) == struct.pack("f", weight)
    assert len(repr(shown)) <= len(repr(weight))


@given(st.integers(0, 10**6), st.integers(0, 3))
def test_a_short_decimal_is_shown_as_it_was_written(number: int, places: int) -> None:
    assume(len(str(number)) <= 6)
    weight = number / 10**places
    assert as_float32(struct.unpack("f", struct.pack("f", weight))[0]) == weight
