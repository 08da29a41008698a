"""Small Hugging Face folders with a tokenizer each, made from a seed: nothing is fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def tokenizer(words: list[str], length: int) -> Any:
    """A tokenizer of whole words, which begins with [CLS] and ends with [SEP]."""
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, *words))}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    own.normalizer = normalizers.Lowercase()
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=length,
    )  # fmt: skip


def bert(folder: Path, kind: str, words: list[str], **more: Any) -> Path:
    """A BERT of two small layers, `BertModel` or `BertForSequenceClassification`, in two shards."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(SPECIAL) + len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=24, **more,
    )  # fmt: skip
    model = getattr(transformers, kind)(config)
    model.save_pretrained(folder, max_shard_size="6KB")
    tokenizer(words, 24).save_pretrained(folder)
    return folder


GERMAN = ("eins", "zwei", "drei", "vier", "rot", "blau", "hund", "katze", "haus")
ENGLISH = ("one", "two", "three", "four", "red", "blue", "dog", "cat", "house")
NOUNS = ("hund", "katze", "haus")


def pairs(seed: int, count: int) -> list[tuple[str, str]]:
    """A task made up for tests: `translate` gives the English words in reversed order, `summarize` keeps the nouns."""
    random = np.random.default_rng(seed)
    translated = dict(zip(GERMAN, ENGLISH, strict=True))
    found = []
    for place in range(count):
        words = [GERMAN[which] for which in random.integers(0, len(GERMAN), random.integers(1, 6))]
        if place % 2:
            found.append((f"translate {' '.join(words)}", " ".join(translated[word] for word in reversed(words))))
        else:
            found.append((f"summarize {' '.join(words)}", " ".join(word for word in words if word in NOUNS)))
    return found


def translator(folder: Path, steps: int = 700) -> Path:
    """A T5 of one small layer, trained here on `pairs`."""
    own = tokenizer(["translate", "summarize", *GERMAN, *ENGLISH], 16)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(own), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, dropout_rate=0.0, pad_token_id=0,
        eos_token_id=3, decoder_start_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    for step in range(steps):
        sources, targets = zip(*pairs(1000 + step, 64), strict=True)
        given = own(list(sources), padding=True, return_tensors="pt")
        wanted = own(list(targets), padding=True, return_tensors="pt").input_ids[:, 1:]
        labels = wanted.masked_fill(wanted == 0, -100)
        loss = model(input_ids=given.input_ids, attention_mask=given.attention_mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.generation_config.max_new_tokens = 10
    model.eval().save_pretrained(folder)
    own.save_pretrained(folder)
    return folder
