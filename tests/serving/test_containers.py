"""AWS's toolkits run the serving code of every layout that has some, and answer as the model's own library does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

import served_models
import torch_nets
from aws_toolkits import HUGGINGFACE, PYTORCH, ask
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.formats.factory import Source
from cloudmodel.serving.package import ModelSource, package

JSON, NPY, NPZ = "application/json", "application/x-npy", "application/x-npz"


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpacked(body: bytes) -> dict[str, Any]:
    return dict(np.load(io.BytesIO(body)))


def packaged(source: ModelSource, work: Path) -> Path:
    """The unpacked bundle."""
    extract(package(source, open_store("store", base=work)).archive, work / "bundle")
    return work / "bundle"


def test_the_pytorch_container(tmp_path: Path) -> None:
    import torch

    module = served_models.torchscript(tmp_path / "net.pt")
    inputs = [tensor.model_dump() for tensor in served_models.TORCHSCRIPT.inputs]
    bundle = packaged(ModelSource("net", tmp_path / "net.pt", layout="pytorch", inputs=inputs), tmp_path)
    image = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    scale = np.array([[1], [2], [0.5]], np.float32)
    with torch.no_grad():
        logits, top = (tensor.numpy() for tensor in module(torch.tensor(image), torch.tensor(scale)))
    rows = [{"image": left.tolist(), "scale": right.tolist()} for left, right in zip(image, scale, strict=True)]
    by_name, by_row, arrays, wrong, unread = ask(
        bundle,
        tmp_path,
        (JSON, "", json.dumps({"inputs": {"image": image.tolist(), "scale": scale.tolist()}}).encode()),
        (JSON, "", json.dumps({"instances": rows}).encode()),
        (NPZ, NPZ, npz(image=image, scale=scale)),
        (JSON, "", json.dumps({"inputs": {"image": [[1, 2]], "scale": [[1]]}}).encode()),
        ("image/png", "", b"x"),
        service=PYTORCH,
    )
    first, second = unpacked(arrays.body)
    assert json.loads(by_name.body) == {"outputs": {first: logits.tolist(), second: top.tolist()}}
    assert json.loads(by_row.body)["predictions"][1] == {first: logits[1].tolist(), second: int(top[1])}
    assert np.array_equal(unpacked(arrays.body)[first], logits)
    assert [wrong.status, unread.status] == [400, 415]
    assert b"the model takes image: float32[batch, 4]" in wrong.body


def test_the_pytorch_container_runs_what_cannot_become_onnx(tmp_path: Path) -> None:
    import torch

    source = Source(Path(torch_nets.__file__).parent, "torch_nets:bessel")
    described = [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    kept = packaged(ModelSource("net", source, inputs=described), tmp_path)
    manifest = json.loads((kept / "manifest.json").read_text())
    assert (manifest["format"], manifest["layout"], manifest["scan"]["verdict"]) == ("torch", "pytorch", "clean")
    reason = manifest["metadata"]["export"]["reason"]
    assert "dynamo: " in reason and "'aten::special_bessel_j0' to ONNX opset version 20 is not supported" in reason
    assert not (kept / "model.onnx").exists()
    assert str(source.folder).encode() not in (kept / "model.pt2").read_bytes()  # no line of anyone's source

    # The program itself is a model, too, and says what it takes.
    again = tmp_path / "again"
    again.mkdir()
    bundle = packaged(ModelSource("net", kept / "model.pt2", layout="pytorch"), again)
    assert (bundle / "model.pt2").read_bytes() == (kept / "model.pt2").read_bytes()
    rows = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    with torch.no_grad():
        expected = torch_nets.bessel().eval()(torch.tensor(rows)).numpy()
    arrays, by_row, wrong = ask(
        bundle,
        tmp_path,
        (NPZ, NPZ, npz(x=rows)),
        (JSON, "", json.dumps({"instances": rows[:1].tolist()}).encode()),
        (JSON, "", json.dumps({"instances": [[1, 2]]}).encode()),
        service=PYTORCH,
        hidden=("onnxruntime",),
    )
    assert np.allclose(unpacked(arrays.body)["output"], expected, atol=1e-6)
    assert np.allclose(json.loads(by_row.body)["predictions"], expected[:1], atol=1e-6)
    assert wrong.status == 400


def test_the_scikit_learn_container(tmp_path: Path) -> None:
    model = served_models.estimator(tmp_path / "digits.joblib")
    bundle = packaged(ModelSource("digits", tmp_path / "digits.joblib", layout="sklearn"), tmp_path)
    rows = np.random.default_rng(2).integers(0, 16, (4, 64)).astype(np.float32)
    table = "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
    arrays, listed, cells, wrong = ask(
        bundle,
        tmp_path,
        (NPZ, NPZ, npz(features=rows)),
        (JSON, JSON, json.dumps({"instances": rows.tolist()}).encode()),
        ("text/csv", JSON, table),
        (JSON, "", json.dumps({"instances": [[1, 2]]}).encode()),
        hidden=("onnxruntime",),
    )
    expected = {"label": model.predict(rows), "probabilities": model.predict_proba(rows)}
    found = unpacked(arrays.body)
    assert [*found] == [*expected]
    assert all(np.array_equal(found[name], array) for name, array in expected.items())
    wanted = [{name: array[row].tolist() for name, array in expected.items()} for row in range(4)]
    assert json.loads(listed.body) == {"predictions": wanted}
    assert json.loads(cells.body) == {"outputs": {name: array.tolist() for name, array in expected.items()}}
    assert wrong.status == 400


def test_the_hugging_face_container(tmp_path: Path) -> None:
    import torch

    model = served_models.transformer(tmp_path / "model")
    bundle = served_models.lay_out(tmp_path / "model", "huggingface", "huggingface", served_models.HUGGINGFACE)
    ids = np.random.default_rng(3).integers(0, 50, (2, 5))
    mask = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.numpy()
    arrays, by_name, unknown = ask(
        bundle,
        tmp_path,
        (NPZ, NPZ, npz(input_ids=ids, attention_mask=mask)),
        (JSON, "", json.dumps({"inputs": {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}}).encode()),
        (JSON, "", json.dumps({"inputs": {"input_ids": [[99]], "attention_mask": [[1]]}}).encode()),
        service=HUGGINGFACE,
        hidden=("onnxruntime",),
    )
    assert [arrays.kind, by_name.kind] == [NPZ, JSON]
    assert np.allclose(unpacked(arrays.body)["logits"], logits, atol=1e-6)
    assert np.allclose(json.loads(by_name.body)["outputs"]["logits"], logits, atol=1e-6)
    assert unknown.status == 400
