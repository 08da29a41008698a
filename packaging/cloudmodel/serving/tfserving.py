"""The layout of TensorFlow Serving and of AWS's TensorFlow container: a SavedModel in a numbered folder, and no code.

NAME/1/saved_model.pb  NAME/1/variables/  [NAME/1/assets/]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.serving.layout import Content
from cloudmodel.serving.placing import place_folder

VERSION = "1"


def write(folder: Path, content: Content) -> None:
    """Put the SavedModel's folder to where TensorFlow Serving looks."""
    place_folder(content, folder / content.name / VERSION)


def body(request: Mapping[str, Any]) -> bytes:
    """A request in columns, by name."""
    return json.dumps({"inputs": {name: array.tolist() for name, array in request.items()}}).encode()
