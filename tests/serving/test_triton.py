"""Triton's layout: NVIDIA's own protobuf reads the configuration, NVIDIA's own client speaks with our emulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.http as client
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
import served_models
from cloudmodel.core.errors import Unsupported
from cloudmodel.serving import triton
from cloudmodel.serving.layout import Content

if TYPE_CHECKING:
    Serve = Callable[..., Any]

TEXT = served_models.signature(
    {"ids": ("int64", ("batch", "tokens")), "mask": ("int64", ("batch", "tokens"))},
    {"logits": ("float32", ("batch", 3)), "pooled": ("float32", ("batch", 5))},
)
ECHO = served_models.signature(
    {name: (dtype, ("batch", 2)) for name, dtype in (("f", "float32"), ("b", "bool"), ("s", "str"))},
    {f"{name}_out": (dtype, ("batch", 2)) for name, dtype in (("f", "float32"), ("b", "bool"), ("s", "str"))},
)


def repository(work: Path, make: Callable[..., Path], described: Any, *options: Any) -> Path:
    """A repository with an ONNX model."""
    return served_models.lay_out(make(work / "own.onnx", *options), "triton", "onnx", described)


def parsed(folder: Path) -> Any:
    return text_format.Parse((folder / "small/config.pbtxt").read_text(), ModelConfig())


def test_nvidias_protobuf_reads_the_configuration(tmp_path: Path) -> None:
    folder = repository(tmp_path / "text", onnx_models.text, TEXT)
    text = parsed(folder)
    assert (text.name, text.backend, text.max_batch_size) == ("small", "onnxruntime", triton.MAX_BATCH)
    assert text.HasField("dynamic_batching") and text.dynamic_batching.max_queue_delay_microseconds == 0
    assert [(each.name, each.data_type, [*each.dims]) for each in text.input] == [("ids", 9, [-1]), ("mask", 9, [-1])]
    assert [(each.name, each.data_type, [*each.dims]) for each in text.output] == [
        ("logits", 11, [3]),
        ("pooled", 11, [5]),
    ]
    assert (folder / "small/1/model.onnx").is_file() and not (folder / "model.onnx").exists()

    scalar = served_models.signature({"f": ("float32", ())}, {"f_out": ("float32", ())})
    fixed = parsed(repository(tmp_path / "fixed", onnx_models.echo, scalar, "f", ()))
    assert (fixed.max_batch_size, fixed.HasField("dynamic_batching")) == (0, False)
    assert [*fixed.input[0].dims] == [1] and [*fixed.input[0].reshape.shape] == []

    served_models.torchscript(tmp_path / "net.pt")
    folder = served_models.lay_out(tmp_path / "net.pt", "triton", "torchscript", served_models.TORCHSCRIPT)
    torch = parsed(folder)
    assert (torch.backend, [each.name for each in torch.input]) == ("pytorch", ["image", "scale"])
    assert (folder / "small/1/model.pt").is_file()


def test_a_name_with_signs_of_the_text_form_and_a_type_that_triton_has_not() -> None:
    odd = 'quo"te\\ and\nline'
    described = served_models.signature({odd: ("float32", (2,))}, {"y": ("float32", (2,))})
    config = text_format.Parse(
        triton.configuration(Content("small", "onnx", Path("model.onnx"), described)), ModelConfig()
    )
    assert config.input[0].name == odd
    described = served_models.signature({"x": ("complex64", (2,))}, {"y": ("float32", (2,))})
    with pytest.raises(Unsupported, match="complex64"):
        triton.configuration(Content("small", "onnx", Path("model.onnx"), described))


@pytest.fixture
def speak(serve: Serve) -> Iterator[Callable[[Path], tuple[Any, client.InferenceServerClient]]]:
    """NVIDIA's client of a server on a folder."""
    made: list[client.InferenceServerClient] = []

    def start(folder: Path) -> tuple[Any, client.InferenceServerClient]:
        running = serve(folder).ready()
        made.append(client.InferenceServerClient(f"127.0.0.1:{running.port}"))
        return running, made[-1]

    yield start
    for each in made:
        each.close()


def asked(name: str, array: Any, kind: str, *, binary: bool) -> client.InferInput:
    tensor = client.InferInput(name, array.shape, kind)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def test_nvidias_client_infers_in_both_forms(tmp_path: Path, speak: Callable[[Path], Any]) -> None:
    onnx_models.text(tmp_path / "kept.onnx")
    running, triton_client = speak(repository(tmp_path / "text", onnx_models.text, TEXT))
    ids, mask = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 1, 1], [1, 1, 0]])
    session = onnxruntime.InferenceSession(tmp_path / "kept.onnx", providers=["CPUExecutionProvider"])
    logits, pooled = session.run(["logits", "pooled"], {"ids": ids, "mask": mask})
    assert triton_client.is_server_live() and triton_client.is_server_ready() and triton_client.is_model_ready("small")
    told = triton_client.get_model_metadata("small", "1")
    assert told["inputs"][0] == {"name": "ids", "datatype": "INT64", "shape": [-1, -1]}
    assert (told["platform"], told["versions"]) == ("onnxruntime_onnx", ["1"])
    for binary in (True, False):
        inputs = [asked("ids", ids, "INT64", binary=binary), asked("mask", mask, "INT64", binary=binary)]
        outputs = [client.InferRequestedOutput(name, binary_data=binary) for name in ("pooled", "logits")]
        for wanted in (outputs, None):
            answer = triton_client.infer("small", inputs, outputs=wanted, request_id="r1")
            assert answer.get_response()["id"] == "r1"
            assert np.allclose(answer.as_numpy("logits"), logits, atol=1e-6)
            assert np.allclose(answer.as_numpy("pooled"), pooled, atol=1e-6)
        # SageMaker's route: the header's size stands in the content type, both ways
        body, length = client.InferenceServerClient.generate_request_body(inputs, outputs=outputs)
        kind = "application/json" if length is None else triton_kind(length)
        answer = running.invoke(bytes(body), kind)
        found = client.InferenceServerClient.parse_response_body(
            answer.body, header_length=int(answer.kind.split("=")[1]) if binary else None
        )
        assert (answer.status, answer.kind.startswith("application/vnd.sagemaker-triton")) == (200, binary)
        assert np.allclose(found.as_numpy("logits"), logits, atol=1e-6)
    bad = [asked("ids", ids, "INT64", binary=True)]
    with pytest.raises(client.InferenceServerException, match="missing mask"):
        triton_client.infer("small", bad)
    with pytest.raises(client.InferenceServerException, match="INT64"):
        triton_client.infer("small", [asked("ids", ids.astype(np.int32), "INT32", binary=True), *bad])
    with pytest.raises(client.InferenceServerException, match="answers for the model 'small'"):
        triton_client.infer("other", bad)


def triton_kind(length: int) -> str:
    return f"application/vnd.sagemaker-triton.binary+json;json-header-size={length}"


def test_strings_and_booleans(tmp_path: Path, speak: Callable[[Path], Any]) -> None:
    _, triton_client = speak(repository(tmp_path / "echo", onnx_models.echo, ECHO, "fbs"))
    values = {
        "f": (np.array([[0.5, -1]], np.float32), "FP32"),
        "b": (np.array([[True, False]]), "BOOL"),
        "s": (np.array([["größer", ""]], dtype=object), "BYTES"),
    }
    for binary in (True, False):
        answer = triton_client.infer("small", [asked(name, array, kind, binary=binary)
                                               for name, (array, kind) in values.items()])  # fmt: skip
        assert np.array_equal(answer.as_numpy("f_out"), values["f"][0])
        assert np.array_equal(answer.as_numpy("b_out"), values["b"][0])
        assert [each.decode() for each in answer.as_numpy("s_out").reshape(-1)] == ["größer", ""]


MISTAKES = [
    (b"{", "", "not JSON"),
    (b'{"inputs": 1}', "", "expected"),
    (b'{"inputs": []}', "999999", "says 999999 bytes"),
    (b'{"inputs": []}', "x", "is no number"),
    (b'{"inputs": [{"name": "f", "shape": [1, 2], "datatype": "FP32", "data": [1]}]}', "", "1 elements"),
    (b'{"inputs": [{"name": "f", "shape": [9999999, 9999999], "datatype": "FP32", "data": [1]}]}', "", "more than"),
    (b'{"inputs": [{"name": "f", "shape": [-1, 2], "datatype": "FP32", "data": [1]}]}', "", "no shape"),
    (b'{"inputs": [{"name": "f", "shape": [1, 2], "datatype": "FP32", "data": [1, "a"]}]}', "", "the model takes f"),
    (b'{"inputs": [{"name": "f", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}', "", "has shape [1, 1]"),
    (b'{"inputs": [{"name": "f", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}1234',
     "103", "says 8 bytes and 4 are left"),
]  # fmt: skip


def test_the_clients_mistakes(tmp_path: Path, serve: Serve) -> None:
    described = served_models.signature({"f": ("float32", ("n", 2))}, {"f_out": ("float32", ("n", 2))})
    running = serve(repository(tmp_path / "model", onnx_models.echo, described, "f", ("n", 2))).ready()
    for body, header, words in MISTAKES:
        headers = {"Inference_Header_Content_Length": header} if header else {}
        answer = running.ask("POST", "/v2/models/small/infer", body, **headers)
        assert (answer.status, words in json.loads(answer.body)["error"]) == (400, True), (body, answer)
    assert running.ask("GET", "/v2/models/small/infer").status == 405
