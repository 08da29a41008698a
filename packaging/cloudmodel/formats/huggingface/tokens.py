"""The tokenizer of a folder: what it makes of texts here, and the files with which the bundle does the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from cloudmodel.core.errors import ModelUnreadable, Unsupported
from cloudmodel.formats.preprocess import TextSteps, Told

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LARGEST = 1 << 20  # transformers writes 1e30 where it knows no length
SAMPLES = (
    "the cat sat on the mat .",
    "A film that starts well, and then forgets why.",
    "42 trains left Köln at 9:30; none arrived.",
    "ok",
    "What a strange, wonderful evening it was, said the old captain to nobody at all.",
    "one two three four five six seven eight nine ten",
    "bad",
    "I would go again, but not with them!",
)
"""What a text model is asked where the project has no rows of its own; of different lengths."""


class Tokens:
    """A fast tokenizer, without its own truncation and padding. `limit` is the most tokens that the model takes."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        try:
            self._own = transformers.AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # every tokenizer fails in its own way
            raise ModelUnreadable(
                f"transformers cannot read the tokenizer: {' '.join(str(error).split())[:300]}",
                where=str(folder),
                hint="tokenizer.save_pretrained(folder) writes tokenizer.json",
            ) from None
        if not getattr(self._own, "is_fast", False):
            raise Unsupported(
                "The tokenizer is Python code only", where=str(folder), hint="save its fast form: tokenizer.json"
            )
        text = self._own.backend_tokenizer.to_str()
        self.fast = Tokenizer.from_str(text)
        self.fast.no_truncation()
        self.fast.no_padding()
        lengths = [limit, self._own.model_max_length, _sentence_length(folder)]
        self.limit = min((int(each) for each in lengths if each and each < LARGEST), default=512)
        self.pad = self._own.pad_token_id or 0

    def fill_left(self, *, room: int) -> None:
        """Fill up before the text, and leave `room` for as many tokens behind it."""
        self._own.padding_side = "left"
        self.limit = max(1, self.limit - room)

    def names(self, accepted: set[str]) -> tuple[str, ...]:
        """The model's inputs that the tokenizer makes, in the usual order."""
        made = set(self._own.model_input_names)
        return tuple(name for name in INPUTS if name in made and name in accepted)

    def encode(self, texts: list[str], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """As transformers itself does it: int64 arrays [batch, longest]."""
        found = self._own(texts, padding="longest", truncation=True, max_length=self.limit, return_tensors="np")
        return {name: np.asarray(found[name], dtype=np.int64) for name in names}

    def steps(self, decode: str | None = None, labels: Sequence[str] = (), told: Told = "label") -> TextSteps:
        """What the bundle does with texts, and with the answers to them."""
        return TextSteps(
            tokenizer=self.fast.to_str(),
            max_length=self.limit,
            pad=self.pad,
            pad_type=getattr(self._own, "pad_token_type_id", 0) or 0,
            side="left" if self._own.padding_side == "left" else "right",
            decode=decode,
            labels=tuple(labels),
            told=told,
        )


def _sentence_length(folder: Path) -> int | None:
    """The length that sentence-transformers cuts at."""
    try:
        length = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return length if isinstance(length, int) else None
