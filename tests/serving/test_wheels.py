"""A bundle that brings what its code imports serves in a container that lacks it: AWS's toolkit runs it where it is
hidden."""

from __future__ import annotations

import io
import json
import platform
import sys
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import onnx_models
from aws_toolkits import ask
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, Unsupported
from cloudmodel.formats.preprocess import ImageSteps, TextSteps
from cloudmodel.serving import wheels
from cloudmodel.serving.package import ModelSource, package

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = f"cp{PYTHON.replace('.', '')}-cp{PYTHON.replace('.', '')}"
ARCHITECTURE = next(word for word, own in wheels.PROCESSORS.items() if own == platform.machine())


PACKED = {"onnxruntime": (TAG, "manylinux_2_28"), "tokenizers": ("cp310-abi3", "manylinux_2_17"),
          "pillow": (TAG, "manylinux_2_27")}  # fmt: skip
"""Tags as those of the registry's wheels."""
NOT_NEEDED = ("transformers", "tools", "quantization", "backend", "datasets", "__pycache__")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's only source: installed packages packed as wheels again, for the Python that runs the tests."""
    monkeypatch.setattr(wheels, "interpreters", lambda _: ((ARCHITECTURE, PYTHON),))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def pack(index: Path, package: str, *, only: str = "") -> Path:
    tag, glibc = PACKED[package]
    path = index / f"{package}-{version(package)}-{tag}-{glibc}_{platform.machine()}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in distribution(package).files or ():
            if only in file.parts[0] and not {file.suffix, file.parts[0], *file.parts[1:2]} & {
                ".pyc",
                "..",
                *NOT_NEEDED,
            }:
                wheel.write(str(file.locate()), file.as_posix())
    return path


def test_a_bundle_with_its_wheels_serves_where_the_container_has_none(tmp_path: Path, index: Path) -> None:
    source = onnx_models.linear(tmp_path / "m.onnx")
    wheel = pack(index, "onnxruntime")
    store = open_store("store", base=tmp_path)
    packaged = package(ModelSource("linear", source, wheels=True), store)
    assert packaged.manifest.metadata["wheels"] == [{"file": wheel.name, "sha256": files.sha256(wheel)}]
    extract(packaged.archive, tmp_path / "bundle")
    assert (tmp_path / "bundle" / wheels.place(ARCHITECTURE, PYTHON) / "onnxruntime/__init__.py").is_file()
    rows = np.array([[1, 2, 3, 4]], np.float32)
    (y,) = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, {"x": rows})
    request = ("application/json", "", json.dumps({"instances": rows.tolist()}).encode())
    (answer,) = ask(tmp_path / "bundle", tmp_path, request, hidden=("onnxruntime",))
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": y.tolist()})

    extract(package(ModelSource("linear", source), store).archive, tmp_path / "without")
    with pytest.raises(AssertionError, match="No module named 'onnxruntime'"):
        ask(tmp_path / "without", tmp_path, request, hidden=("onnxruntime",))


def words() -> TextSteps:
    own = Tokenizer(WordLevel({"[UNK]": 0, "a": 1, "good": 2, "film": 3}, unk_token="[UNK]"))
    own.pre_tokenizer = Whitespace()
    return TextSteps(tokenizer=own.to_str(), max_length=8)


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array([[[0, 51, 102], [153, 204, 255]]], np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "kind", "shape", "steps", "needs", "request_", "expected"),
    [
        ("input_ids", "int64", ("batch", "tokens"), words(), ("tokenizers", "tokenizers"),
         ("application/json", "", b'{"instances": ["a good", "film"]}'), [[1, 2], [3, 0]]),
        ("image", "float32", ("batch", 3, 1, 2), ImageSteps(crop=(1, 2)), ("pillow", "PIL"),
         ("image/png", "", picture()), [[[[0.0, 0.6]], [[0.2, 0.8]], [[0.4, 1.0]]]]),
    ],
    ids=["texts", "images"],
)  # fmt: skip
def test_what_comes_before_the_model_travels_too(
    tmp_path: Path, index: Path, name: str, kind: str, shape: Any, steps: Any, needs: tuple[str, str],
    request_: tuple[str, str, bytes], expected: Any,
) -> None:  # fmt: skip
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    source = onnx_models.save(
        tmp_path / "m.onnx", [onnx.helper.make_node("Identity", [name], ["same"])],
        [onnx_models.value(name, number, shape)], [onnx_models.value("same", number, shape)],
    )  # fmt: skip
    packed = [pack(index, "onnxruntime", only=".dist-info"), pack(index, needs[0])]
    packaged = package(ModelSource("model", source, wheels=True, preprocess=steps), open_store("store", base=tmp_path))
    brought = packaged.manifest.metadata["wheels"]
    assert brought == [{"file": each.name, "sha256": files.sha256(each)} for each in packed]
    extract(packaged.archive, tmp_path / "bundle")
    hidden = (needs[1], "huggingface_hub")
    (answer,) = ask(tmp_path / "bundle", tmp_path, request_, hidden=hidden)
    assert answer.status == 200, answer.body
    np.testing.assert_allclose(json.loads(answer.body)["predictions"], expected, rtol=1e-6)


def test_wheels_that_nobody_has_or_needs(tmp_path: Path, index: Path) -> None:
    store = open_store("store", base=tmp_path)
    source = onnx_models.linear(tmp_path / "m.onnx")
    with pytest.raises(CloudmodelError, match=rf"pip found no wheel of onnxruntime==.* for Python {PYTHON}"):
        package(ModelSource("linear", source, wheels=True), store)
    with pytest.raises(Unsupported, match="layout triton has no code that needs wheels"):
        package(ModelSource("linear", source, layout="triton", wheels=True), store)
    assert not [*(tmp_path / "store").rglob("*.tar.gz")]
