"""The serving code that travels inside a bundle.

    code/inference.py  [code/signature.json]  code/cloudmodel_runtime/*.py

AWS's containers put `code/` on the path, import `inference` and call its functions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.formats import preprocess
from cloudmodel.serving.layout import ONNX, Content

RUNTIME = Path(__file__).parent / "runtime"
COMMON = (
    "__init__",
    "answers",
    "batching",
    "errors",
    "handlers",
    "machine",
    "preprocessing",
    "requests",
    "tensors",
    "warming",
    "wheels",
)
"""The modules that every runtime needs; each has one of its own besides."""
INFERENCE = '''"""The functions that the container calls; see cloudmodel_runtime.handlers."""

from cloudmodel_runtime import wheels  # first: what the bundle brings is on the path from here on
from cloudmodel_runtime.handlers import input_fn, model_warmup_fn, {output_fn}, predict_fn, predict_many_fn
from cloudmodel_runtime.{engine} import model_fn

__all__ = ["input_fn", "model_fn", "model_warmup_fn", "output_fn", "predict_fn", "predict_many_fn", "wheels"]
'''


ENGINES = {
    ONNX: "session",
    "torchscript": "pytorch",
    "torch-export": "pytorch",
    "sklearn": "estimator",
    "huggingface": "transformer",
}
"""The runtime's module that loads a model of a format. All but ONNX Runtime need the signature beside the model."""


def write(folder: Path, content: Content, *, more: Sequence[str] = (), output_fn: str = "output_fn") -> None:
    """Write `code/` into a bundle's folder, with `more` modules of the runtime."""
    engine = ENGINES[content.format]
    code = folder / "code"
    files.write_text(code / "inference.py", INFERENCE.format(engine=engine, output_fn=output_fn))
    declared = () if content.format == ONNX else ("declared",)
    for name in (*COMMON, engine, *declared, *_prepares(folder), *more):
        source = RUNTIME / f"{name}.py"
        files.write_bytes(code / "cloudmodel_runtime" / source.name, source.read_bytes())
    if declared:
        text = json.dumps(content.signature.model_dump(mode="json"), indent=2)
        files.write_text(code / "signature.json", f"{text}\n")


def _prepares(folder: Path) -> tuple[str, ...]:
    """The module for the bundle's own `preprocess/`, which has its kind as its name."""
    try:
        document = json.loads((folder / preprocess.FOLDER / preprocess.FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return (document["kind"],)
