"""The layout for AWS's script containers and for our own server: an ONNX model beside `code/inference.py`.

model.onnx  [labels.txt]  [external data]  code/inference.py  code/cloudmodel_runtime/*.py
"""

from __future__ import annotations

from pathlib import Path

from cloudmodel.serving import inference_code
from cloudmodel.serving.layout import Content


def write(folder: Path, content: Content) -> None:
    """Write the serving code beside `model.onnx`, which is in the bundle's folder already."""
    inference_code.write(folder, content)
