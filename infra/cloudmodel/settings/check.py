"""From a document to a typed value, or to every problem that the document has, each at its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cloudmodel.settings.document import Document, Key, Problem, dotted

M = TypeVar("M", bound=BaseModel)

KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "empty"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
)

PHRASES = (
    ("Input should be", "must be"),
    ("a valid string", "text"),
    ("a valid integer", "a whole number"),
    ("a valid boolean", "true or false"),
    ("a valid dictionary or instance of", "a mapping for"),
    ("a valid dictionary", "a mapping"),
    ("a valid tuple", "a list"),
    ("a valid ", "a "),
)
"""Pydantic's words, and the words of these files."""


def nearest(name: str, known: tuple[str, ...]) -> str:
    """What to say after an unknown name: the most similar of `known`, else all of them."""
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(known)}"


def validate(
    model: type[M], value: Mapping[str, Any], document: Document, place: Callable[[Key], Key] = lambda key: key
) -> tuple[M | None, list[Problem]]:
    """`value` as a `model`, or None and the problems. `place` turns a path in `value` into one in the document."""
    try:
        return model.model_validate(dict(value)), []
    except ValidationError as failure:
        found: dict[Key, list[str]] = {}
        for error in failure.errors(include_url=False, include_input=True):
            key = _given(error["loc"], value)
            if error["type"] == "missing":
                key = (*key, error["loc"][-1])
            message = _message(model, error, key)
            if message not in found.setdefault(key, []):
                found[key].append(message)
        return None, [
            Problem(document.mark(place(key)), dotted(_shown(place(key))), " or ".join(messages))
            for key, messages in found.items()
        ]


def _shown(key: Key) -> Key:
    """Pulumi's `config` is the file's frame, not part of a key."""
    return key[1:] if key[:1] == ("config",) else key


def _given(location: Key, value: Any) -> Key:
    """The parts of pydantic's location that stand in the value; the others name branches of a union."""
    key: Key = ()
    for part in location:
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if inside:
            value = value[part]
            key = (*key, part)
    return key


def _message(model: type[BaseModel], error: Any, key: Key) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(key[-1]), known_keys(model, error['loc'][:-1]))}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"needs {context['discriminator'].strip(chr(39))}: {context.get('expected_tags', 'one that is known')}"
    if kind == "value_error":
        return str(context["error"])
    text: str = error["msg"]
    for theirs, here in PHRASES:
        text = text.replace(theirs, here)
    text = text[0].lower() + text[1:]
    if kind.endswith("_type"):
        is_now = next((words for types, words in KINDS if isinstance(error["input"], types)), "something else")
        text += f", and is {is_now}"
    return text


def known_keys(model: type[BaseModel], location: Key) -> tuple[str, ...]:
    """The keys that `model` knows at `location`, in their documented order. Of several kinds of a part, the location
    names one after the part's key, as pydantic does."""
    current = [model]
    for part in location:
        inner = [
            each
            for one in current
            if part in one.model_fields
            for each in _models(one.model_fields[str(part)].annotation)
        ]
        named = [one for one in current if part in _kinds(one)]
        current = inner or named or current
    return tuple(field.alias or name for name, field in current[0].model_fields.items())


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("kind")
    return tuple(getattr(field.annotation, "__args__", ())) if field else ()


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
