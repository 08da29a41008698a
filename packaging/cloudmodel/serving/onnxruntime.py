"""The layout for AWS's script containers and for our own server: the model beside `code/inference.py`.

    model.onnx  [labels.txt]  [external data]  code/inference.py  code/cloudmodel_runtime/*.py

AWS's containers put `code/` on the path, import `inference` and call its functions.
"""

from __future__ import annotations

from pathlib import Path

from cloudmodel.core import files
from cloudmodel.serving.layout import Content

RUNTIME = Path(__file__).parent / "runtime"
INFERENCE = '''"""The functions that the container calls; see cloudmodel_runtime.handlers."""

from cloudmodel_runtime.handlers import input_fn, model_fn, model_warmup_fn, output_fn, predict_fn

__all__ = ["input_fn", "model_fn", "model_warmup_fn", "output_fn", "predict_fn"]
'''


def write(folder: Path, content: Content) -> None:
    """Write the serving code beside `model.onnx`, which is in the bundle's folder already."""
    code = folder / "code"
    files.write_text(code / "inference.py", INFERENCE)
    for source in sorted(RUNTIME.glob("*.py")):
        files.write_bytes(code / "cloudmodel_runtime" / source.name, source.read_bytes())
