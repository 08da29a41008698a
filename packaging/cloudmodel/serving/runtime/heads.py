"""What a model of transformers answers with, as `code/head.json` says: it was written when the model was packaged.

Each takes the module, its tensors by name and the head's document, and gives one tensor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

PLACE = Path("code") / "head.json"
LOGITS = {"kind": "logits", "dtype": "auto"}
"""A folder without the file: AWS's own, with our code beside it."""

Head = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Any]


def read(model_dir: str) -> Mapping[str, Any]:
    """What the file says. Raises OSError, ValueError."""
    try:
        document: Mapping[str, Any] = json.loads((Path(model_dir) / PLACE).read_text())
    except FileNotFoundError:
        return LOGITS
    return document


def logits(module: Any, given: Mapping[str, Any], head: Mapping[str, Any]) -> Any:
    """[batch, classes], or [batch, sequence, classes]."""
    return module(**given).logits


def embedding(module: Any, given: Mapping[str, Any], head: Mapping[str, Any]) -> Any:
    """The hidden states of a text's tokens as one vector, [batch, hidden]."""
    hidden = module(**given).last_hidden_state
    mask = given["attention_mask"].unsqueeze(-1)
    if head["pooling"] == "cls":
        pooled = hidden[:, 0]
    elif head["pooling"] == "max":
        pooled = hidden.masked_fill(mask == 0, torch.finfo(hidden.dtype).min).amax(1)
    else:
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(pooled, dim=-1) if head["normalize"] else pooled


def tokens(module: Any, given: Mapping[str, Any], head: Mapping[str, Any]) -> Any:
    """What it writes, greedily: [batch, generated]."""
    return module.generate(**given, max_new_tokens=head["max_new_tokens"], do_sample=False, num_beams=1)


def following(module: Any, given: Mapping[str, Any], head: Mapping[str, Any]) -> Any:
    """The scores of the token that comes next, [batch, vocabulary]."""
    answer = module.generate(
        **given, max_new_tokens=1, do_sample=False, num_beams=1, pad_token_id=head["pad"], output_logits=True,
        return_dict_in_generate=True,
    )  # fmt: skip
    return answer.logits[0]


def written(module: Any, given: Mapping[str, Any], head: Mapping[str, Any]) -> Any:
    """What it writes behind the text, greedily: [batch, generated]."""
    answer = module.generate(
        **given, max_new_tokens=head["max_new_tokens"], do_sample=False, num_beams=1, pad_token_id=head["pad"]
    )
    return answer[:, given["input_ids"].shape[1] :]


HEADS: Mapping[str, Head] = {"logits": logits, "embedding": embedding, "tokens": tokens, "following": following}
"""By `kind`."""
