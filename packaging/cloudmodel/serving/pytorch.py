"""The layout of AWS's PyTorch container: a TorchScript model or a program of torch.export beside `code/inference.py`.

model.pt or model.pt2  code/inference.py  code/signature.json  code/cloudmodel_runtime/*.py

torch.export promises to read a file in the version that wrote it only, and 2.8 changed the archive: `up` compares the
image's version with the one that parity ran with.
"""

from __future__ import annotations

from pathlib import Path

from cloudmodel.serving import inference_code
from cloudmodel.serving.layout import Content
from cloudmodel.serving.placing import place


def write(folder: Path, content: Content) -> None:
    """Put model and serving code into a bundle's folder."""
    place(content, folder)
    inference_code.write(folder, content)
