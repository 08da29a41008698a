"""What a project says of preprocessing in cloudmodel.yaml: images and ids go to the endpoint as its users have them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from botocore.exceptions import ClientError
from PIL import Image

import optimize_parts as parts
from cloudmodel.cli.commands import init

TEMPLATE = Path(init.__file__).parents[1] / "scaffold/digits"
DIGITS = """\
version: 1
name: pictures
model:
  source: digits.onnx
  preprocess: {kind: image, color: L, resize: [8, 8], std: [0.0625]}
"""
PAIRS = """\
version: 1
name: pairs
model:
  source: pairs.onnx
  preprocess: {kind: ids, maps: {user: users.txt, item: items.txt}}
"""


def test_pictures_are_read_as_well_as_numbers(stand: Callable[[str], Any], project: Path) -> None:
    shutil.copy(TEMPLATE / "models/digits.onnx", project / "digits.onnx")
    with np.load(TEMPLATE / "data/heldout.npz") as data:
        images, labels = data["inputs"][:60], data["labels"][:60]  # 0 to 16
    endpoint = stand(DIGITS)
    right = 0
    for image, label in zip(images, labels, strict=True):
        scores = endpoint.picture(Image.fromarray(np.round(image[0] * 255 / 16).astype(np.uint8)))
        right += int(np.argmax(scores) == label)
    assert right >= 57  # of 60; from its numbers the model is right in 0.99 of all
    with pytest.raises(ClientError, match="JPEG or PNG"):
        endpoint.ask(b"no picture", "image/png")


def test_ids_are_those_of_the_project(commands: Callable[[str], Any], project: Path) -> None:
    model = parts.two_tower(project / "pairs.onnx")
    (project / "users.txt").write_text("".join(f"user-{place}\n" for place in range(943)))
    (project / "items.txt").write_text("".join(f"item-{place}\n" for place in range(1682)))
    endpoint = commands(PAIRS)
    users, items = np.arange(0, 900, 100), np.arange(9)
    found = endpoint.rows([{"user": f"user-{a}", "item": f"item-{b}"} for a, b in zip(users, items, strict=True)])
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(found, session.run(None, {"user": users, "item": items})[0], rtol=1e-4)
    with pytest.raises(ClientError, match="user-943"):
        endpoint.rows([{"user": "user-943", "item": "item-0"}])
