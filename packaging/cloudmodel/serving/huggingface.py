"""The layout of AWS's Hugging Face container: the model's folder with `code/inference.py`.

    config.json  weights  tokenizer files  preprocess/
    code/inference.py  code/signature.json  code/head.json  code/cloudmodel_runtime/*.py

Its toolkit sends the request's own Accept as the answer's content type and takes nothing but a body from `output_fn`
(`handler_service.py` of sagemaker-huggingface-inference-toolkit), and makes every failure a 400.
"""

from __future__ import annotations

import json
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.serving import inference_code
from cloudmodel.serving.layout import Content
from cloudmodel.serving.placing import place_folder


def write(folder: Path, content: Content) -> None:
    """Put model and serving code into a bundle's folder."""
    place_folder(content, folder)
    inference_code.write(folder, content, more=("heads",), output_fn="body_fn as output_fn")
    if content.head is not None:
        files.write_text(folder / "code" / "head.json", json.dumps(content.head, sort_keys=True) + "\n")
