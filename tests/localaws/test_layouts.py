"""Bundles of layouts other than the usual one, packaged for real, stand behind InvokeEndpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as client

import onnx_models
from cloudmodel.bundle import golden
from cloudmodel.bundle.manifest import Golden
from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package


@pytest.mark.parametrize("layout", ["triton", "torchserve"])
def test_an_endpoint_answers_its_bundles_golden_sample(cloud: Any, tmp_path: Path, layout: str) -> None:
    source = ModelSource("linear", onnx_models.linear(tmp_path / "m.onnx"), layout=layout)
    packaged = package(source, open_store("store", base=tmp_path))
    assert (packaged.manifest.layout, packaged.manifest.parity.passed) == (layout, True)
    kept = golden.read(packaged.archive)
    assert kept is not None
    how, request, expected = kept
    url = cloud.upload(packaged.archive.read_bytes())
    endpoint = cloud.endpoint(cloud.config(cloud.model(ModelDataUrl=url)))

    def ask(body: bytes, kind: str) -> Any:
        return cloud.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=kind, Accept=kind)

    answer = ask(request, how.content_type)["Body"].read()
    wanted = golden.arrays(expected)
    found = golden.answered(how, answer, wanted)
    assert np.allclose(found["y"], wanted["y"], rtol=how.relative, atol=how.absolute)
    if layout == "triton":
        tensor = client.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((2, 4), np.float32))
        body, length = client.InferenceServerClient.generate_request_body([tensor])
        answered = ask(bytes(body), f"application/vnd.sagemaker-triton.binary+json;json-header-size={length}")
        size = int(answered["ContentType"].split("json-header-size=")[1])
        parsed = client.InferenceServerClient.parse_response_body(answered["Body"].read(), header_length=size)
        assert parsed.as_numpy("y").shape == (2, 3)


def test_an_answer_that_cannot_be_read_is_no_answer() -> None:
    expected = {"y": np.zeros((1, 3), np.float32)}
    how = Golden(request="r", answer="a", content_type="application/json", absolute=0, relative=0)
    for body in (b"", b"[]", b'{"outputs": [{"name": "y", "datatype": "FP32"}]}', b'{"outputs": ["a"]}'):
        with pytest.raises(ValueError, match="not an answer"):
            golden.answered(how, body, expected)
    column = golden.answered(how, b'{"outputs": [[1, 2, 3]]}', expected)
    assert column["y"].tolist() == [[1, 2, 3]]
