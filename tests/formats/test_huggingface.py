"""Hugging Face folders: their own class, never their own code; texts in, embeddings and logits out."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import transformers

import checkpoints
import served_models
import text_models
from aws_toolkits import HUGGINGFACE, ask
from cloudmodel.bundle import store as stores
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.core import files
from cloudmodel.core.errors import ModelUnreadable, UnsafeModel, Unsupported
from cloudmodel.formats import opening, preprocess
from cloudmodel.formats.huggingface import original
from cloudmodel.formats.original import Job, Prepared
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
    from cloudmodel.serving.runtime import handlers, session, transformer

    model = (session if (bundle / "model.onnx").exists() else transformer).model_fn(str(bundle))
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


def test_the_layout_huggingface_gives_the_same_embeddings(folder: Path, tmp_path: Path) -> None:
    head = {"kind": "embedding", "dtype": "auto", "pooling": "mean", "normalize": True}
    opened = original.open_model(Job("huggingface", folder, own=True))
    assert isinstance(opened, Prepared)
    request = opened.request(3)
    bundle = opened_and_laid_out(folder, tmp_path)
    inputs = {name: array.tolist() for name, array in request.items()}
    found = answer(bundle, json.dumps({"inputs": inputs}).encode())["outputs"]["sentence_embedding"]
    assert opened.facts["head"] == head
    np.testing.assert_allclose(found, opened.answer(request)["sentence_embedding"], atol=1e-6)


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """The most memory of its own (no pages of files) that any new program has while the block runs, and the bytes
    that this process and its children read (`rchar`)."""
    most = {"anonymous": 0, "read": 0}
    me = psutil.Process()
    itself = me.cmdline()  # what a child is between fork and exec, with all the memory that these tests hold
    ended, others = threading.Event(), set(me.children(recursive=True))  # servers of other tests

    def look() -> None:
        while not ended.wait(0.02):
            for child in set(me.children(recursive=True)) - others:
                with suppress(psutil.NoSuchProcess):
                    if child.cmdline() in ([], itself):
                        continue
                    known = child.memory_info()
                    most["anonymous"] = max(most["anonymous"], known.rss - known.shared)

    def read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = read()
    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield most
    finally:
        ended.set()
        watching.join()
        most["read"] = read() - before


def test_a_large_checkpoint_in_shards_stays_its_own_files(
    store: BundleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is mapped: its weights are read once to copy them and once to answer, in little memory."""
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=1024, intermediate_size=4096, num_hidden_layers=2, num_attention_heads=8,
        max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    size = checkpoints.sharded(tmp_path / "llama", config, "LlamaForCausalLM", 50 << 20)
    monkeypatch.setattr(stores, "LARGE", size // 2)
    with watched() as most:
        packaged = package(ModelSource("llama", tmp_path / "llama"), store)
    assert 100 << 20 < most["anonymous"] < 500 << 20
    libraries = 400 << 20  # what two interpreters with PyTorch and transformers read to begin with
    assert most["read"] < 2 * size + libraries
    manifest = packaged.manifest
    assert (manifest.layout, manifest.parity.samples, manifest.parity.passed) == ("huggingface", 0, True)
    assert "stay in their own files" in manifest.metadata["export"]["reason"]
    for shard in (tmp_path / "llama").glob("*.safetensors"):
        assert (packaged.archive / shard.name).stat().st_nlink == 2  # itself, and its content in the store
        assert files.sha256(shard) in {entry.sha256 for entry in manifest.files}

    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "llama", padding_side="left")
    model = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "llama")
    texts = ["word1 word2 word3", "word7"]
    given = tokens(texts, padding=True, return_tensors="pt")
    names = ("input_ids", "attention_mask")
    wanted = model.generate(**{name: given[name] for name in names}, max_new_tokens=32, do_sample=False)
    found = answer(packaged.archive, json.dumps({"instances": texts}).encode())["predictions"]
    assert found == tokens.batch_decode(wanted[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
    assert manifest.golden is not None
    golden = np.load(packaged.archive / manifest.golden.request)
    with torch.no_grad():
        rows = [model(torch.tensor(ids[mask == 1])[None]).logits[0, -1].numpy()
                for ids, mask in zip(golden["input_ids"], golden["attention_mask"], strict=True)]  # fmt: skip
    kept = np.load(packaged.archive / manifest.golden.answer)["logits"]
    np.testing.assert_allclose(kept, rows, atol=1e-5)


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


def opened_and_laid_out(folder: Path, place: Path) -> Path:
    """A folder in the layout `huggingface`, with what it brings for texts, and no process of its own."""
    opened = original.open_model(Job("huggingface", folder, own=True))
    assert isinstance(opened, Prepared)
    shutil.copytree(folder, place / "own")
    bundle = served_models.lay_out(
        place / "own", "huggingface", "huggingface", opened.signature, head=opened.facts["head"]
    )
    preprocess.write(opened.preprocess(), bundle)
    return bundle


def test_several_labels_and_entities_are_told_as_transformers_tells_them(tmp_path: Path) -> None:
    more = {"id2label": {0: "O", 1: "B-thing", 2: "I-thing"}, "initializer_range": 1.0}
    several = text_models.bert(
        tmp_path / "several", "BertForSequenceClassification", WORDS, problem_type="multi_label_classification", **more
    )
    tokens = text_models.bert(tmp_path / "tokens", "BertForTokenClassification", WORDS, **more)
    body = json.dumps({"instances": [*TEXTS, "A zebra sat"]}).encode()
    for folder, task, asked in ((several, "text-classification", {"top_k": None}), (tokens, "ner", {})):
        pipeline = transformers.pipeline(task, model=str(folder), device="cpu")
        told = [pipeline(text, **asked) for text in json.loads(body)["instances"]]
        found = answer(opened_and_laid_out(folder, tmp_path / f"{folder.name}-bundle"), body)["predictions"]
        assert len({str(each) for each in told}) > 1
        for row, wanted in zip(found, told, strict=True):
            scores, others = ([each.pop("score") for each in entries] for entries in (row, wanted))
            assert row == wanted
            np.testing.assert_allclose(scores, others, atol=1e-5)


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
