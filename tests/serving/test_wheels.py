"""A bundle that brings ONNX Runtime serves in a container that has none: AWS's toolkit runs it where it is hidden."""

from __future__ import annotations

import json
import platform
import sys
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import onnx_models
from aws_toolkits import ask
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, Unsupported
from cloudmodel.serving import wheels
from cloudmodel.serving.package import ModelSource, package

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
ARCHITECTURE = next(word for word, own in wheels.PROCESSORS.items() if own == platform.machine())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's only source: the installed ONNX Runtime, packed as a wheel again, for the Python that runs the tests."""
    monkeypatch.setattr(wheels, "interpreters", lambda _: ((ARCHITECTURE, PYTHON),))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    tag = f"cp{PYTHON.replace('.', '')}"
    name = f"onnxruntime-{version('onnxruntime')}-{tag}-{tag}-manylinux_2_28_{platform.machine()}.whl"
    with zipfile.ZipFile(tmp_path / "index" / name, "w") as wheel:
        for path in distribution("onnxruntime").files or ():
            if path.suffix != ".pyc" and path.parts[1:2] in (("capi",), ("__init__.py",), ("METADATA",), ("WHEEL",)):
                wheel.write(str(path.locate()), path.as_posix())
    return tmp_path / "index" / name


def test_a_bundle_with_its_wheels_serves_where_the_container_has_none(tmp_path: Path, index: Path) -> None:
    source = onnx_models.linear(tmp_path / "m.onnx")
    store = open_store("store", base=tmp_path)
    packaged = package(ModelSource("linear", source, wheels=True), store)
    assert packaged.manifest.metadata["wheels"] == [{"file": index.name, "sha256": files.sha256(index)}]
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


def test_wheels_that_nobody_has_or_needs(tmp_path: Path, index: Path) -> None:
    index.unlink()
    store = open_store("store", base=tmp_path)
    source = onnx_models.linear(tmp_path / "m.onnx")
    with pytest.raises(CloudmodelError, match=rf"pip found no wheel of onnxruntime==.* for Python {PYTHON}"):
        package(ModelSource("linear", source, wheels=True), store)
    with pytest.raises(Unsupported, match="layout triton has no code that needs wheels"):
        package(ModelSource("linear", source, layout="triton", wheels=True), store)
    assert not [*(tmp_path / "store").rglob("*.tar.gz")]
