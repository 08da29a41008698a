"""JSON Schema for editors: one for cloudmodel.yaml, one for Pulumi.<stack>.yaml.

    python -m cloudmodel.settings.schema FOLDER     writes cloudmodel.schema.json and stack.schema.json

The written files lie beside this module.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from cloudmodel.core.files import write_text
from cloudmodel.settings.model import AwsFile, ProjectFile, StackFile
from cloudmodel.settings.pulumi import OURS

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Described(GenerateJsonSchema):
    """A field's description is the text below it. Pydantic could read it too, with the class: in every command then."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """The schema of a model, its fields described."""
        written, model = super().model_schema(schema), schema["cls"]
        for name, said in _texts(model):
            written["properties"][model.model_fields[name].alias or name]["description"] = said
        return written


def _texts(model: type) -> Iterator[tuple[str, str]]:
    """The model's own fields that a text follows."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    for field, after in pairwise(body.body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)


def project_schema() -> dict[str, Any]:
    """The schema of cloudmodel.yaml."""
    return {"$schema": DRAFT, **ProjectFile.model_json_schema(schema_generator=_Described)}


def stack_schema() -> dict[str, Any]:
    """The schema of Pulumi.<stack>.yaml: our keys and AWS's two; other namespaces are free."""
    ours, aws = (model.model_json_schema(schema_generator=_Described) for model in (StackFile, AwsFile))
    properties = {f"{OURS}:{name}": rule for name, rule in ours["properties"].items()}
    properties |= {f"aws:{name}": rule for name, rule in aws["properties"].items()}
    config = {
        "type": "object",
        "properties": properties,
        "required": [f"{OURS}:{name}" for name in ours["required"]],
        # Of our namespace only the known keys; others are for the project's own program and for Pulumi's packages.
        "patternProperties": {f"^{OURS}:(?!(config:)?({'|'.join(ours['properties'])})$)": {"not": {}}},
    }
    return {
        "$schema": DRAFT,
        "$defs": ours.get("$defs", {}),
        "title": "Pulumi.<stack>.yaml of a cloudmodel project",
        "type": "object",
        "properties": {
            "config": config,
            "encryptionsalt": {"type": "string"},
            "secretsprovider": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "required": ["config"],
        "additionalProperties": False,
    }


FILES = {"cloudmodel.schema.json": project_schema, "stack.schema.json": stack_schema}


def text(schema: dict[str, Any]) -> str:
    """A schema as the bytes of its file."""
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def write(folder: Path) -> None:
    """Write both schemas into `folder`."""
    for name, schema in FILES.items():
        write_text(folder / name, text(schema()))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
