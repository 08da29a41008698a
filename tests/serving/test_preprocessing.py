"""Images and ids on their way to the model, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.preprocess import IdSteps, ImageSteps, write
from cloudmodel.serving.runtime import preprocessing
from cloudmodel.serving.runtime.errors import RequestRefused
from cloudmodel.serving.runtime.requests import parse
from cloudmodel.serving.runtime.tensors import Spec

STEPS = ImageSteps(resize=8, crop=(6, 4), mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)  # as high as `resize`: no filter
IDS = IdSteps(maps={"user_id": "196\n186\nAnna", "item_id": "242\n302"})


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def prepared(folder: Path, steps: Any, body: bytes, kind: str, *specs: Spec) -> Any:
    write(steps, folder)
    own = preprocessing.load(str(folder))
    assert own is not None
    request = parse(body, kind)
    assert own.takes(request)
    return own.arrays(request, specs)


def test_an_image_is_cut_and_normalized(tmp_path: Path) -> None:
    spec = Spec("image", "float32", ("batch", 3, 6, 4))
    expected = ((PIXELS[1:7, 4:8] / 255 - [0.5, 0.25, 0.0]) / [0.5, 1.0, 2.0]).transpose(2, 0, 1)
    found = prepared(tmp_path, STEPS, png(PIXELS), "image/png", spec)["image"]
    np.testing.assert_allclose(found, expected[None], atol=1e-6)
    rows = {"instances": [{"b64": base64.b64encode(png(PIXELS)).decode()}] * 2}
    found = prepared(tmp_path, STEPS, json.dumps(rows).encode(), "application/json", spec)["image"]
    np.testing.assert_allclose(found, [expected, expected], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(png(PIXELS)[:60], "image/png"), (b"GIF89a", "image/jpeg"), (b'{"instances": [{"b64": "@"}]}', "application/json"),
     (b'{"instances": [{"b64": "AAAA"}, 3]}', "application/json")],
)  # fmt: skip
def test_what_is_no_image_is_the_clients_mistake(tmp_path: Path, body: bytes, kind: str) -> None:
    with pytest.raises(RequestRefused, match="the model takes a JPEG or PNG image") as caught:
        prepared(tmp_path, STEPS, body, kind, Spec("image", "float32", ("batch", 3, 6, 4)))
    assert caught.value.status_code == 400
    assert " object at " not in str(caught.value)


def test_ids_become_places_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    specs = (Spec("user_id", "int64", ("batch",)), Spec("item_id", "int64", ("batch", 1)))
    rows = [{"user_id": "Anna", "item_id": 302}, {"user_id": 196, "item_id": "242"}]
    found = prepared(tmp_path, IDS, json.dumps({"instances": rows}).encode(), "application/json", *specs)
    assert (found["user_id"].tolist(), found["item_id"].tolist()) == ([2, 0], [[1], [0]])
    for row, said in (
        ({"user_id": 5, "item_id": 242}, "user_id 5 is none of the 3 ids"),
        ({"user_id": 196}, "item_id"),
    ):
        with pytest.raises(RequestRefused, match=said):
            prepared(tmp_path, IDS, json.dumps({"instances": [row]}).encode(), "application/json", *specs)


def test_steps_that_do_not_fit_the_model_are_refused() -> None:
    image = Tensor(name="image", dtype="float32", shape=("batch", 1, 6, 4))
    with pytest.raises(ProjectInvalid, match="it makes 3 channels"):
        STEPS.check(Signature(inputs=(image,), outputs=()))
    with pytest.raises(ProjectInvalid, match="whole numbers as 'user_id'"):
        IDS.check(Signature(inputs=(image,), outputs=()))
    with pytest.raises(ProjectInvalid, match="'user_id' have '196' twice"):
        IdSteps(maps={"user_id": "196\n7\n196\n"}).check(Signature(inputs=(image,), outputs=()))
