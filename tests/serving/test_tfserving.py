"""TensorFlow Serving's layout: TensorFlow's own loader and tensorflow-serving-api's messages judge our emulation.

The judge is a process of its own: it makes the SavedModels, and is later handed what our server answered.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import served_models
from cloudmodel.bundle import golden
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package

if TYPE_CHECKING:
    Serve = Callable[..., Any]

JUDGE = """
import json, sys
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
folder = sys.argv[1]
class Small(tf.Module):
    def __init__(self, seed):
        self.weights = tf.Variable(tf.random.stateless_normal([4, 3], [seed, 0]))
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
    def score(self, x):
        return {"scores": x @ self.weights}
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x"), tf.TensorSpec([None], tf.string, "who")])
    def several(self, x, who):
        return {"top": tf.argmax(x @ self.weights, 1), "who": who, "who_bytes": who, "total": tf.reduce_sum(x)}
for number in (1, 2):
    module = Small(number)
    tf.saved_model.save(module, f"{folder}/{number}", {"serving_default": module.score, "several": module.several})
tf.saved_model.save(module, f"{folder}/one", {"score": module.score})
print("made", flush=True)

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2
told = json.loads(sys.stdin.readline())
status = json_format.Parse(told["status"], get_model_status_pb2.GetModelStatusResponse())
states = [(each.version, each.state) for each in status.model_version_status]
assert states == [(2, get_model_status_pb2.ModelVersionStatus.AVAILABLE), (1, 30)], states
document = json.loads(told["metadata"])
signatures = json_format.ParseDict(document["metadata"]["signature_def"], get_model_metadata_pb2.SignatureDefMap())
response = get_model_metadata_pb2.GetModelMetadataResponse()
json_format.ParseDict(document["model_spec"], response.model_spec)
assert (response.model_spec.name, response.model_spec.version.value) == ("small", 1)
(x,) = signatures.signature_def["serving_default"].inputs.values()
assert (x.dtype, [each.size for each in x.tensor_shape.dim]) == (1, [-1, 4])
assert {*signatures.signature_def["several"].outputs} == {"top", "who", "who_bytes", "total"}

rows = np.asarray(told["rows"], np.float32)
for answer in told["answers"]:
    loaded = tf.saved_model.load(f"{folder}/{answer['version']}")
    scores = loaded.signatures["serving_default"](x=tf.constant(rows))["scores"].numpy()
    assert np.array_equal(np.asarray(answer["scores"], np.float32), scores), answer
several = tf.saved_model.load(f"{folder}/2").signatures["several"](x=tf.constant(rows), who=tf.constant(["ä", "b"]))
assert several["top"].numpy().tolist() == told["several"]["top"]
assert float(several["total"]) == told["several"]["total"]
print("judged", flush=True)
"""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("tensorflow")
    process = subprocess.Popen(
        [sys.executable, "-c", JUDGE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    yield folder, process
    process.kill()
    process.wait()


def test_rows_columns_versions_signatures_status_and_metadata(judge: Any, serve: Serve) -> None:
    folder, process = judge
    shutil.copytree(folder / "1", folder / "model")
    described = served_models.signature({"x": ("float32", ("batch", 4))}, {"scores": ("float32", ("batch", 3))})
    bundle = served_models.lay_out(folder / "model", "tfserving", "savedmodel", described)
    assert (bundle / "small/1/saved_model.pb").is_file() and (bundle / "small/1/variables/variables.index").is_file()
    shutil.copytree(folder / "2", bundle / "small/2")
    running = serve(bundle).ready()

    def predict(document: Any, path: str = "/v1/models/small") -> Any:
        answer = running.ask("POST", f"{path}:predict", json.dumps(document).encode())
        assert answer.status == 200, answer
        return answer.json

    rows = [[0.5, -1.25, 2, 3], [1, 2, 3, 4.5]]
    answers = [
        {"version": "2", "scores": predict({"instances": rows})["predictions"]},
        {"version": "2", "scores": predict({"instances": [{"x": row} for row in rows]})["predictions"]},
        {"version": "2", "scores": predict({"inputs": rows})["outputs"]},
        {"version": "2", "scores": predict({"inputs": {"x": rows}})["outputs"]},
        {"version": "1", "scores": predict({"instances": rows}, "/v1/models/small/versions/1")["predictions"]},
    ]
    first = {"X-Amzn-SageMaker-Custom-Attributes": "tfs-model-name=small,tfs-model-version=1,tfs-method=predict"}
    for body, kind, headers in (
        (json.dumps({"instances": rows}), "application/json", {}),
        (json.dumps(rows), "application/json", {}),
        ("\n".join(map(json.dumps, rows)), "application/jsonlines", first),
        ("\n".join(",".join(map(str, row)) for row in rows), "text/csv", first),
    ):
        answer = running.ask("POST", "/invocations", body.encode(), Content_Type=kind, **headers)
        answers.append({"version": "1" if headers else "2", "scores": answer.json["predictions"]})

    several = predict({"signature_name": "several", "inputs": {"x": rows, "who": ["ä", {"b64": "Yg=="}]}})["outputs"]
    assert (several["who"], several["who_bytes"]) == (["ä", "b"], [{"b64": "w6Q="}, {"b64": "Yg=="}])
    told = {
        "status": running.ask("GET", "/v1/models/small").body.decode(),
        "metadata": running.ask("GET", "/v1/models/small/versions/1/metadata").body.decode(),
        "rows": rows,
        "answers": answers,
        "several": several,
    }
    process.stdin.write(f"{json.dumps(told)}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "judged\n", "the judge's own words are on stderr"

    mistakes = [
        ("/v1/models/small:predict", b"{", 400, "JSON Parse error"),
        ("/v1/models/small:predict", b'{"instances": [[1, 2]]}', 400, "the model takes x: float32"),
        ("/v1/models/small:predict", b'{"instances": [], "inputs": 1}', 400, "exactly one"),
        ("/v1/models/small:predict", b'{"signature_name": "no", "inputs": []}', 400, "'no' not found"),
        ("/v1/models/small:classify", b'{"examples": []}', 400, "not emulated"),
        ("/v1/models/small/versions/9:predict", b'{"instances": [[1, 2, 3, 4]]}', 404, "Servable not found"),
        ("/v1/models/other:predict", b"{}", 404, "answers for the model 'small'"),
    ]
    for path, wrong, status, words in mistakes:
        answer = running.ask("POST", path, wrong)
        assert (answer.status, words in answer.json["error"]) == (status, True), answer
    by_row = running.ask(
        "POST",
        "/v1/models/small:predict",
        json.dumps({"signature_name": "several", "instances": [{"x": row, "who": "a"} for row in rows]}).encode(),
    )
    assert (by_row.status, "total has no batch dimension" in by_row.json["error"]) == (400, True)
    refused = running.ask("POST", "/invocations", b"x", Content_Type="image/png")
    assert refused.status == 415
    assert running.stop() == 0


def test_a_saved_model_gets_the_signature_that_tensorflow_serving_calls(judge: Any, tmp_path: Path) -> None:
    folder, _ = judge
    assert b"serving_default" not in (folder / "one/saved_model.pb").read_bytes()
    packaged = package(ModelSource("small", folder / "one", layout="tfserving"), open_store("store", base=tmp_path))
    manifest = packaged.manifest
    assert (manifest.format, manifest.layout, manifest.parity.passed) == ("savedmodel", "tfserving", True)
    assert {"small/1/saved_model.pb", "golden/request.json"} <= {entry.path for entry in manifest.files}
    kept = golden.read(packaged.archive)
    assert kept is not None
    assert [*json.loads(kept[1])] == ["inputs"]
    extract(packaged.archive, tmp_path / "bundle")
    assert b"serving_default" in (tmp_path / "bundle/small/1/saved_model.pb").read_bytes()
    assert manifest.metadata["original"]["signature"] == "score"
