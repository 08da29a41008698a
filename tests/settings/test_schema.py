"""The schemas for editors are the models' twins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.settings import schema
from cloudmodel.settings.model import StackFile


@pytest.mark.parametrize("name", schema.FILES)
def test_the_shipped_file_is_the_models(name: str) -> None:
    """Write them again with `python -m cloudmodel.settings.schema infra/cloudmodel/settings`."""
    shipped = Path(schema.__file__).with_name(name).read_text()
    assert shipped == schema.text(schema.FILES[name]())


def test_unknown_keys_of_ours_are_forbidden_and_others_free() -> None:
    config: dict[str, Any] = json.loads(schema.text(schema.stack_schema()))["properties"]["config"]
    (forbidden,) = config["patternProperties"]
    assert all(not re.search(forbidden, f"cloudmodel:{name}") for name in StackFile.model_fields)
    assert re.search(forbidden, "cloudmodel:traget")
    assert not re.search(forbidden, "digits:anything")
    assert config["required"] == ["cloudmodel:target"]
