"""Models that go on with a text (...ForCausalLM): the scores of the next token, and for texts what they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats.huggingface.tokens import SAMPLES, Tokens
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Exporter
from cloudmodel.formats.preprocess import TextSteps
from cloudmodel.formats.pytorch import modules

NAMES = ("input_ids", "attention_mask")
WRITTEN = "tokens"
MOST = 128
"""New tokens where the folder sets no limit."""


class Continuation:
    """The model as `generate` begins. Rows are filled up on the left, so that all end where the next token comes."""

    def __init__(self, model: Any, tokens: Tokens, facts: Mapping[str, Any]) -> None:
        self._model = model
        self._tokens = tokens
        config = model.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None)
        most = model.generation_config.max_new_tokens or MOST
        most = min(most, longest // 2) if longest else most
        tokens.fill_left(room=most if longest else 0)
        self.signature = Signature(
            inputs=tuple(Tensor(name=name, dtype="int64", shape=("batch", "sequence")) for name in NAMES),
            outputs=(Tensor(name="logits", dtype="float32", shape=("batch", config.vocab_size)),),
        )
        head = {**facts["head"], "kind": "following", "max_new_tokens": most, "pad": tokens.pad}
        self.facts = {**facts, "max_length": tokens.limit, "decoding": "greedy", "head": head}

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The scores. Raises StepFailed."""
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in request.items()}
        try:
            with torch.no_grad():
                found = self._model.generate(
                    **given, max_new_tokens=1, do_sample=False, num_beams=1, pad_token_id=self._tokens.pad,
                    output_logits=True, return_dict_in_generate=True,
                )  # fmt: skip
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise StepFailed(f"The model fails on this request: {modules.line(error)}") from None
        return {"logits": found.logits[0].float().numpy()}

    def exporters(self) -> Mapping[str, Exporter]:
        """None. Raises StepFailed."""
        raise StepFailed(
            "it goes on with a text, a token at a time over a cache of keys and values, by its own runtime"
        )

    def request(self, batch: int) -> dict[str, NDArray[Any]]:
        """Texts, tokenized."""
        return self._tokens.encode([SAMPLES[place % len(SAMPLES)] for place in range(batch)], NAMES)

    def preprocess(self) -> TextSteps:
        """Texts to tokens, and what is written back to texts."""
        return self._tokens.steps(WRITTEN)
