"""Small Hugging Face folders with a tokenizer each, made from a seed: nothing is fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

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
