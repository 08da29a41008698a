"""The layout of AWS's scikit-learn container: an estimator beside `code/inference.py`.

model.joblib  code/inference.py  code/signature.json  code/cloudmodel_runtime/*.py
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
