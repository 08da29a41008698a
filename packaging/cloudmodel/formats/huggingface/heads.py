"""What a model answers with, by the class that its config names: an embedding, logits, or generated tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cloudmodel.core.errors import Unsupported
from cloudmodel.formats.model import Tensor

POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}


class Head(torch.nn.Module):  # type: ignore[misc]
    """The model under the names of its inputs, with one tensor as the answer: `output` describes it, and `document` is
    what the code of a bundle must know to give the same (`serving/runtime/heads.py`)."""

    def __init__(self, model: Any, names: tuple[str, ...], output: Tensor) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.output = output
        self.document: dict[str, Any] = {"kind": "logits"}

    def forward(self, *tensors: Any) -> Any:
        """The logits."""
        return self.model(**dict(zip(self.names, tensors, strict=True))).logits


class Embedding(Head):
    """The hidden states of a text's tokens made one vector, of length 1 where `normalize`."""

    def __init__(self, model: Any, names: tuple[str, ...], output: Tensor, pooling: str, normalize: bool) -> None:
        super().__init__(model, names, output)
        self.pooling = pooling
        self.normalize = normalize
        self.document = {"kind": "embedding", "pooling": pooling, "normalize": normalize}

    def forward(self, *tensors: Any) -> Any:
        """The embedding, [batch, hidden]."""
        given = dict(zip(self.names, tensors, strict=True))
        hidden = self.model(**given).last_hidden_state
        mask = given["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        elif self.pooling == "max":
            pooled = hidden.masked_fill(mask == 0, torch.finfo(hidden.dtype).min).amax(1)
        else:
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled


def head(model: Any, architecture: str, names: tuple[str, ...], folder: Path) -> Head:
    """The head of a model that answers at once. Raises Unsupported for one that is of another kind."""
    config = model.config
    if architecture.endswith("ForSequenceClassification"):
        return Head(model, names, Tensor(name="logits", dtype="float32", shape=("batch", config.num_labels)))
    if architecture.endswith("ForTokenClassification"):
        shape = ("batch", "sequence", config.num_labels)
        return Head(model, names, Tensor(name="logits", dtype="float32", shape=shape))
    if architecture.endswith("Model") and not getattr(config, "is_encoder_decoder", False):
        pooling, normalize = _pooling(folder)
        output = Tensor(name="sentence_embedding", dtype="float32", shape=("batch", config.hidden_size))
        return Embedding(model, names, output, pooling, normalize)
    raise Unsupported(
        f"{architecture} is not served yet",
        where=str(folder / "config.json"),
        hint="...ForSequenceClassification, ...ForTokenClassification, a bare encoder (...Model), a model that goes "
        "on with a text (...ForCausalLM), or one that translates or summarizes (...ForConditionalGeneration, "
        "MarianMTModel)",
    )


def _pooling(folder: Path) -> tuple[str, bool]:
    """How sentence-transformers makes one vector of many, by the files that it writes; without them the mean, of
    length 1. Raises Unsupported for ways that are not here."""
    modules = _read(folder / "modules.json")
    if not isinstance(modules, list):
        return "mean", True
    kinds = [str(each.get("type", "")).rsplit(".", 1)[-1] for each in modules if isinstance(each, Mapping)]
    if unknown := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise Unsupported(f"The sentence encoder has a step {unknown[0]}, which is not served", where=str(folder))
    settings = _read(folder / "1_Pooling" / "config.json")
    chosen = [key for key, value in (settings or {}).items() if key.startswith("pooling_mode_") and value is True]
    if len(chosen) > 1 or (chosen and chosen[0] not in POOLINGS):
        raise Unsupported(f"The sentence encoder pools by {', '.join(chosen)}, which is not served", where=str(folder))
    return POOLINGS[chosen[0]] if chosen else "mean", "Normalize" in kinds


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
