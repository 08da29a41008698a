"""Hugging Face folders: their own class, never their own code; texts in, embeddings and logits out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import served_models
import text_models
from aws_toolkits import HUGGINGFACE, ask
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.core.errors import ModelUnreadable, UnsafeModel, Unsupported
from cloudmodel.formats import opening
from cloudmodel.formats.original import Job
from cloudmodel.serving.package import ModelSource, package

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "dog",
    "ran",
    "away",
    "from",
    "it",
    "very",
    "good",
    "bad",
    "film",
]
TEXTS = ["the cat sat", "A very good film", "and a dog ran away from the bad mat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder in shards."""
    return text_models.bert(tmp_path_factory.mktemp("models") / "encoder", "BertModel", WORDS)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return open_store("store", base=tmp_path)


def answer(bundle: Path, body: bytes, kind: str = "application/json") -> Any:
    """What the bundle's own code says, in this process."""
    from cloudmodel.serving.runtime import handlers, session

    model = session.model_fn(str(bundle))
    return json.loads(handlers.output_fn(handlers.predict_fn(handlers.input_fn(body, kind), model), None)[0])


def test_a_sentence_encoder_takes_texts(folder: Path, store: BundleStore, tmp_path: Path) -> None:
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    packaged = package(ModelSource("encoder", folder, task="embedding"), store)
    assert packaged.manifest.format == "huggingface"
    assert packaged.manifest.metadata["preprocess"]["max_length"] == 24
    extract(packaged.archive, tmp_path / "bundle")
    found = answer(tmp_path / "bundle", json.dumps({"instances": TEXTS}).encode())["predictions"]

    tokens = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = transformers.BertModel.from_pretrained(folder)(**tokens).last_hidden_state
    mask = tokens["attention_mask"][:, :, None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(found, torch.nn.functional.normalize(mean).numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights far from zero, so that its three classes differ."""
    place = tmp_path_factory.mktemp("models") / "classifier"
    labels = {0: "calm", 1: "angry", 2: "glad"}
    return text_models.bert(place, "BertForSequenceClassification", WORDS, id2label=labels, initializer_range=1.0)


@pytest.fixture(scope="module")
def told(classifier: Path) -> Any:
    """What transformers' own pipeline says of TEXTS; not the same of all."""
    found = transformers.pipeline("text-classification", model=str(classifier), device="cpu")(TEXTS)
    assert len({each["label"] for each in found}) > 1
    return found


def agree(found: Any, told: Any) -> None:
    assert [each["label"] for each in found] == [each["label"] for each in told]
    np.testing.assert_allclose([each["score"] for each in found], [each["score"] for each in told], atol=1e-5)


def test_a_classifier_answers_with_its_labels(classifier: Path, told: Any, store: BundleStore, tmp_path: Path) -> None:
    packaged = package(ModelSource("classifier", classifier, task="text-classification"), store)
    extract(packaged.archive, tmp_path / "bundle")
    agree(answer(tmp_path / "bundle", json.dumps({"instances": TEXTS}).encode())["predictions"], told)
    assert packaged.manifest.labels == "labels.txt"
    assert (tmp_path / "bundle/labels.txt").read_text().split() == ["calm", "angry", "glad"]
    tensors = {"input_ids": [[2, 5, 3]], "attention_mask": [[1, 1, 1]]}
    logits = answer(tmp_path / "bundle", json.dumps({"inputs": tensors}).encode())["outputs"]["logits"]
    assert np.shape(logits) == (1, 3)


def test_the_containers_own_pipeline_reads_the_layouts_folder(classifier: Path, told: Any, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "own")
    bundle = served_models.lay_out(tmp_path / "own", "huggingface", "huggingface", served_models.HUGGINGFACE)
    shutil.rmtree(bundle / "code")  # then the toolkit asks transformers' pipeline
    asked = ("application/json", "", json.dumps({"inputs": TEXTS}).encode())
    (found,) = ask(bundle, tmp_path, asked, service=HUGGINGFACE)
    agree(json.loads(found.body), told)


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([""], "instance 0 is empty"),
        (["a cat", 3], "instance 1 is a int"),
        (["a cat " * 20], "instance 0 has 42 tokens; the model takes at most 24"),
        (["\ud800"], "this is no text"),
    ],
)
def test_what_is_no_text_is_the_clients_mistake(folder: Path, tmp_path: Path, instances: Any, said: str) -> None:
    from cloudmodel.serving.runtime import requests, text
    from cloudmodel.serving.runtime.errors import RequestRefused

    document = {"tokenizer": "tokenizer.json", "max_length": 24, "pad": 0, "pad_type": 0, "side": "right"}
    own = text.load(folder, document)
    with pytest.raises(RequestRefused, match=said) as caught:
        own.arrays(requests.parse(json.dumps({"instances": instances}), None), [])
    assert caught.value.status_code == 400


def test_code_of_a_folder_is_never_run(folder: Path, store: BundleStore, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    config = json.loads((own / "config.json").read_text())
    config |= {"architectures": ["OwnModel"], "auto_map": {"AutoModel": "modeling.OwnModel"}}
    (own / "config.json").write_text(json.dumps(config))
    (own / "modeling.py").write_text("import os\nos.mkdir('ran')\n")
    with pytest.raises(UnsafeModel, match="Python code"):
        package(ModelSource("own", own), store)
    (own / "modeling.py").unlink()
    with pytest.raises(Unsupported, match="has no OwnModel"):
        package(ModelSource("own", own), store)


def test_weights_that_are_missing_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(folder, lost)
    index = json.loads((lost / "model.safetensors.index.json").read_text())
    index["weight_map"] = {name: file for name, file in index["weight_map"].items() if "layer.1." not in name}
    (lost / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in {file.name for file in lost.glob("model-*")} - set(index["weight_map"].values()):
        (lost / name).unlink()
    with pytest.raises(ModelUnreadable, match="is missing"):
        opening.open_model(Job("huggingface", lost), tmp_path / "work", folder=None)
