"""A small seq2seq model, trained here on a synthetic task of translation and summarization: texts in, texts out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

import text_models
from cloudmodel.formats.pytorch import modules
from cloudmodel.serving.package import ModelSource


def test_it_writes_what_transformers_writes(serve: Callable[..., Any], tmp_path: Path) -> None:
    with modules.quiet():
        folder = text_models.translator(tmp_path / "translator")
        held_out = text_models.pairs(1, 200)
        texts = [source for source, _ in held_out]
        own = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
        given = own(texts, padding=True, return_tensors="pt")
        written = model.generate(
            input_ids=given.input_ids, attention_mask=given.attention_mask, max_new_tokens=10, do_sample=False
        )
        expected = own.batch_decode(written, skip_special_tokens=True)
    endpoint = serve(ModelSource("translator", folder, task="translation"))
    assert endpoint.manifest.metadata["export"]["exporter"] == "greedy loop"
    found = endpoint.rows(texts)
    right = sum(answer == truth for answer, (_, truth) in zip(found, held_out, strict=True)) / len(held_out)
    reference = sum(answer == truth for answer, (_, truth) in zip(expected, held_out, strict=True)) / len(held_out)
    print(f"exact answers: {right:.3f} through InvokeEndpoint, {reference:.3f} in transformers")
    assert found == expected
    assert right == reference > 0.7  # of an untrained one none is right
