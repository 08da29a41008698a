"""Texts: tokenized as the model was trained, filled up to the longest of the request; answers of generated tokens are
texts again, those of a classifier labels with their scores, in the words of transformers' own pipelines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # requests are what runs beside each other

from tokenizers import Tokenizer

from .errors import RequestRefused
from .requests import Request
from .tensors import Array, Spec

NOTHING = "O"
"""The label of a token that is no part of any entity."""
EXPECTED = 'the model takes {"instances": ["a text", ...]}'


class Texts:
    """`max_length` tokens at most, `pad` fills up on the `side`, `decode` names the output that holds tokens, `labels`
    are the classes whose logits the one output holds, and `told` is what is told of them: the likeliest `label`, all
    `labels`, which exclude no other, or the `entities`, one a token."""

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / document["tokenizer"]))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_length = int(document["max_length"])
        self._pad = {"input_ids": int(document["pad"]), "token_type_ids": int(document["pad_type"])}
        self._left = document["side"] == "left"
        self._decode: str | None = document.get("decode")
        self._labels = np.array(document.get("labels", ()), dtype=object)
        self._told = {"labels": self._every, "entities": self._entities}.get(document.get("told", ""), self._likeliest)

    def takes(self, request: Request) -> bool:
        """Rows that are texts; numbers in them are the client's mistake."""
        return request.form == "instances" and any(isinstance(row, str) for row in request.values)

    def arrays(self, request: Request, specs: Sequence[Spec]) -> dict[str, Array]:
        """`input_ids`, `attention_mask`, `token_type_ids`: those that the model has, [batch, longest]."""
        for place, text in enumerate(request.values):
            if not isinstance(text, str):
                raise RequestRefused(f"instance {place} is a {type(text).__name__}; {EXPECTED}")
            if not text.strip():
                raise RequestRefused(f"instance {place} is empty; {EXPECTED}")
        try:
            found = self._tokenizer.encode_batch(list(request.values))
        except Exception as error:  # half of a surrogate pair, which JSON can name
            raise RequestRefused(f"this is no text: {error}; {EXPECTED}") from None
        for place, each in enumerate(found):
            if len(each.ids) > self._max_length:
                raise RequestRefused(
                    f"instance {place} has {len(each.ids)} tokens; the model takes at most {self._max_length}"
                )
        longest = max(len(each.ids) for each in found)
        columns = {
            "input_ids": [each.ids for each in found],
            "attention_mask": [[1] * len(each.ids) for each in found],
            "token_type_ids": [each.type_ids for each in found],
        }
        return {spec.name: self._filled(columns[spec.name], longest, spec) for spec in specs}

    def finish(self, request: Request, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The tokens of the answer as texts, without those that mean begin, end and nothing; logits as what they
        mean."""
        if len(self._labels):
            (logits,) = outputs.values()
            return self._told(request, logits)
        if self._decode is None:
            return outputs
        texts = self._tokenizer.decode_batch([row.tolist() for row in outputs[self._decode]], skip_special_tokens=True)
        return {"text": np.array(texts, dtype=object)}

    def _likeliest(self, request: Request, logits: Array) -> Mapping[str, Array]:
        """One label a text, with its softmax."""
        odds = _softmax(logits)
        return {"label": self._labels[logits.argmax(-1)], "score": odds.max(-1)}

    def _every(self, request: Request, logits: Array) -> Mapping[str, Array]:
        """All labels of a text, each with its sigmoid, the likeliest first."""
        scores = 1 / (1 + np.exp(-logits))
        rows = [
            [{"label": self._labels[place], "score": float(row[place])} for place in np.argsort(-row, kind="stable")]
            for row in scores
        ]
        return {"labels": _objects(rows)}

    def _entities(self, request: Request, logits: Array) -> Mapping[str, Array]:
        """The tokens of a text that are something: the label, its softmax, where they stand in the text."""
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        rows = []
        for text, found, scores in zip(
            request.values, self._tokenizer.encode_batch(list(request.values)), _softmax(logits), strict=True
        ):
            first = len(scores) - len(found.ids) if self._left else 0
            row = []
            for index, (token, special) in enumerate(zip(found.tokens, found.special_tokens_mask, strict=True)):
                odds = scores[first + index]
                label = self._labels[odds.argmax()]
                if special or label == NOTHING:
                    continue
                start, end = found.offsets[index]
                word = text[start:end] if token == unknown else token
                row.append({"entity": label, "score": float(odds.max()), "index": index, "word": word, "start": start,
                            "end": end})  # fmt: skip
            rows.append(row)
        return {"entities": _objects(rows)}

    def _filled(self, rows: list[list[int]], longest: int, spec: Spec) -> Array:
        array = np.full((len(rows), longest), self._pad.get(spec.name, 0), dtype=spec.dtype)
        for place, row in enumerate(rows):
            start = longest - len(row) if self._left else 0
            array[place, start : start + len(row)] = row
        return array


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    odds: Array = raised / raised.sum(-1, keepdims=True)
    return odds


def _objects(rows: Sequence[Any]) -> Array:
    """One list in each place: numpy would make a table of lists of the same length."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def load(folder: Path, document: Mapping[str, Any]) -> Texts:
    """Texts as `preprocess.json` describes them."""
    return Texts(folder, document)
