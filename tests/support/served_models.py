"""Small models in every form that can be served, and what their own libraries answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.serving import target
from cloudmodel.serving.layout import ONNX, Content

SEED = 7


def signature(inputs: dict[str, tuple[str, tuple[int | str, ...]]], outputs: Any) -> Signature:
    """By name the dtype and the shape."""
    sides = [
        tuple(Tensor(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in side.items())
        for side in (inputs, outputs)
    ]
    return Signature(inputs=sides[0], outputs=sides[1])


def lay_out(model: Path, layout: str, format: str, described: Signature, name: str = "small", head: Any = None) -> Path:
    """Write a layout into a folder beside the model, and what a server reads of a manifest; returns the folder."""
    folder = model.parent / f"{model.name}-{layout}"
    folder.mkdir()
    if format == ONNX:
        model = model.rename(folder / "model.onnx")
    target.LAYOUTS[layout].write(folder, Content(name, format, model, described, head=head))
    manifest = {"name": name, "layout": layout, "signature": described.model_dump(mode="json")}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


TORCHSCRIPT = signature(
    {"image": ("float32", ("batch", 4)), "scale": ("float32", ("batch", 1))},
    {"logits": ("float32", ("batch", 3)), "top": ("int64", ("batch",))},
)


def torchscript(path: Path) -> Any:
    """Two inputs, two outputs; returns the module."""
    import torch

    class Small(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)

        def forward(self, image: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self.linear(image) * scale
            return logits, logits.argmax(-1)

    torch.manual_seed(SEED)
    path.parent.mkdir(parents=True, exist_ok=True)
    module = torch.jit.script(Small().eval())
    module.save(str(path))
    return module


def estimator(path: Path) -> Any:
    """Ten digits by logistic regression; returns it."""
    import joblib
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=200).fit(data[:300].astype(np.float32), labels[:300])
    joblib.dump(model, path, compress=3)
    return model


HUGGINGFACE = signature(
    {"input_ids": ("int64", ("batch", "tokens")), "attention_mask": ("int64", ("batch", "tokens"))},
    {"logits": ("float32", ("batch", 2))},
)


def transformer(folder: Path) -> Any:
    """A small BERT with two classes, untrained; returns it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(SEED)
    config: Any = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config.intermediate_size, config.num_labels = 16, 2
    model: Any = BertForSequenceClassification(config)
    model.eval()
    model.save_pretrained(folder)
    return model
