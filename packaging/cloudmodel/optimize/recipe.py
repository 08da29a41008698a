"""A recipe: an ordered list of optimization steps with their parameters, as data that can be read, kept and replayed.

A recipe file (`optimize --recipe`) is YAML; parameters that it leaves out have their defaults:

    version: 1
    recipes:
      - [{technique: static-int8, method: percentile, per_channel: true}]
      - [{technique: prune, ratio: 0.5}, {technique: static-int8}]
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, JsonValue, ValidationError

from cloudmodel.core.errors import UsageError
from cloudmodel.formats.model import Frozen
from cloudmodel.optimize.technique import Parameters
from cloudmodel.optimize.techniques import find

MAX_FILE = 1 << 20
MAX_STEPS = 16


class Step(Frozen):
    """One technique with all its parameters, defaults included: what a default was is never guessed later."""

    technique: str
    parameters: dict[str, JsonValue] = Field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """`{"technique": "static-int8", "method": "percentile", …}`"""
        return {"technique": self.technique, **self.parameters}

    def values(self) -> Parameters:
        """The parameters as the technique takes them."""
        return _checked(find(self.technique).parameters, self.parameters)


class Recipe(Frozen):
    """An ordered list of steps; without any, the model as it is."""

    steps: tuple[Step, ...] = ()

    def as_json(self) -> list[dict[str, Any]]:
        """The steps as the `optimize` document and the manifest hold them."""
        return [step.as_json() for step in self.steps]

    @property
    def digest(self) -> str:
        """The hex sha256 of the recipe's canonical JSON."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    @property
    def title(self) -> str:
        """`prune ratio=0.5 + static-int8`: what differs from the defaults."""
        return " + ".join(_title(step) for step in self.steps) or "as it is"


def step(technique: str, **parameters: JsonValue) -> Step:
    """A checked step. Raises UsageError for an unknown technique, parameter or value."""
    return parse_step({"technique": technique, **parameters}, where=None)


def parse_step(document: object, *, where: str | None) -> Step:
    """A step from its JSON form. Raises UsageError that names the step and what is wrong with it."""
    if not isinstance(document, Mapping) or not isinstance(document.get("technique"), str):
        raise UsageError(
            "A step is a mapping with the key `technique`", where=where, hint="{technique: static-int8, method: minmax}"
        )
    technique = find(document["technique"], where=where)
    given = {key: value for key, value in document.items() if key != "technique"}
    try:
        values = _checked(technique.parameters, given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = ", ".join(technique.parameters.model_fields) or "none"
        raise UsageError(
            f"{technique.name}: {name}: {first['msg']}", where=where, hint=f"its parameters: {known}"
        ) from None
    return Step(technique=technique.name, parameters=values.model_dump(mode="json"))


def parse(document: object, *, where: str | None = None) -> Recipe:
    """A recipe from its JSON form, a list of steps. Raises UsageError."""
    if not isinstance(document, list) or not 0 < len(document) <= MAX_STEPS:
        raise UsageError(f"A recipe is a list of 1 to {MAX_STEPS} steps", where=where)
    places = (f"{where}: step {number}" if where else None for number in range(1, len(document) + 1))
    return Recipe(steps=tuple(parse_step(item, where=place) for item, place in zip(document, places, strict=True)))


def read(path: Path) -> tuple[Recipe, ...]:
    """The recipes of a file. Raises UsageError naming the recipe and the step."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise UsageError("The recipe file is too large", where=str(path))
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"The recipe file cannot be read: {_line(error)}", where=str(path)) from None
    if not isinstance(document, dict) or set(document) != {"version", "recipes"} or document["version"] != 1:
        raise UsageError(
            "A recipe file has exactly the keys `version: 1` and `recipes`",
            where=str(path),
            hint="cloudmodel optimize --help",
        )
    recipes = document["recipes"]
    if not isinstance(recipes, list) or not recipes:
        raise UsageError("`recipes` is a list of recipes", where=str(path))
    return tuple(parse(item, where=f"{path}: recipe {number}") for number, item in enumerate(recipes, 1))


def write(path: Path, recipes: Iterable[Recipe]) -> None:
    """Write a recipe file that `read` takes."""
    from cloudmodel.core.files import write_text

    document = {"version": 1, "recipes": [recipe.as_json() for recipe in recipes]}
    write_text(path, yaml.safe_dump(document, sort_keys=False, default_flow_style=None))


def _checked(parameters: type[Parameters], given: Mapping[str, Any]) -> Parameters:
    """As JSON, where an array is a tuple and yet nothing else is converted."""
    return parameters.model_validate_json(json.dumps(given, default=str))


def _title(step: Step) -> str:
    defaults = find(step.technique).parameters().model_dump(mode="json")
    own = (f"{key}={_word(key, value)}" for key, value in step.parameters.items() if value != defaults.get(key))
    return " ".join((step.technique, *own))


def _word(key: str, value: JsonValue) -> str:
    if not isinstance(value, list):
        return str(value).lower()
    return f"{len(value)} nodes" if key == "exclude" else "+".join(map(str, value))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
