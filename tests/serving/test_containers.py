"""AWS's toolkits run the serving code of every layout that has some, and answer as the model's own library does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

import served_models
from aws_toolkits import HUGGINGFACE, PYTORCH, ask

JSON, NPY, NPZ = "application/json", "application/x-npy", "application/x-npz"


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpacked(body: bytes) -> dict[str, Any]:
    return dict(np.load(io.BytesIO(body)))


def test_the_pytorch_container(tmp_path: Path) -> None:
    import torch

    module = served_models.torchscript(tmp_path / "net.pt")
    bundle = served_models.lay_out(tmp_path / "net.pt", "pytorch", "torchscript", served_models.TORCHSCRIPT)
    image = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    scale = np.array([[1], [2], [0.5]], np.float32)
    with torch.no_grad():
        logits, top = (tensor.numpy() for tensor in module(torch.tensor(image), torch.tensor(scale)))
    rows = [{"image": left.tolist(), "scale": right.tolist()} for left, right in zip(image, scale, strict=True)]
    by_name, by_row, packed, wrong, unread = ask(
        bundle,
        tmp_path,
        (JSON, "", json.dumps({"inputs": {"image": image.tolist(), "scale": scale.tolist()}}).encode()),
        (JSON, "", json.dumps({"instances": rows}).encode()),
        (NPZ, NPZ, npz(image=image, scale=scale)),
        (JSON, "", json.dumps({"inputs": {"image": [[1, 2]], "scale": [[1]]}}).encode()),
        ("image/png", "", b"x"),
        service=PYTORCH,
    )
    assert json.loads(by_name.body) == {"outputs": {"logits": logits.tolist(), "top": top.tolist()}}
    assert json.loads(by_row.body)["predictions"][1] == {"logits": logits[1].tolist(), "top": int(top[1])}
    assert np.array_equal(unpacked(packed.body)["logits"], logits)
    assert [wrong.status, unread.status] == [400, 415]
    assert b"the model takes image: float32[batch, 4]" in wrong.body


def test_the_scikit_learn_container(tmp_path: Path) -> None:
    model = served_models.estimator(tmp_path / "digits.pkl")
    bundle = served_models.lay_out(tmp_path / "digits.pkl", "sklearn", "sklearn", served_models.SKLEARN)
    rows = np.random.default_rng(2).integers(0, 16, (4, 64)).astype(np.float32)
    table = "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
    packed, listed, cells, wrong = ask(
        bundle,
        tmp_path,
        (NPZ, NPZ, npz(input=rows)),
        (JSON, JSON, json.dumps({"instances": rows.tolist()}).encode()),
        ("text/csv", JSON, table),
        (JSON, "", json.dumps({"instances": [[1, 2]]}).encode()),
        hidden=("onnxruntime",),
    )
    expected = {"label": model.predict(rows), "probabilities": model.predict_proba(rows).astype(np.float32)}
    found = unpacked(packed.body)
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
    packed, by_name, unknown = ask(
        bundle,
        tmp_path,
        (NPZ, NPZ, npz(input_ids=ids, attention_mask=mask)),
        (JSON, "", json.dumps({"inputs": {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}}).encode()),
        (JSON, "", json.dumps({"inputs": {"input_ids": [[99]], "attention_mask": [[1]]}}).encode()),
        service=HUGGINGFACE,
        hidden=("onnxruntime",),
    )
    assert [packed.kind, by_name.kind] == [NPZ, JSON]
    assert np.allclose(unpacked(packed.body)["logits"], logits, atol=1e-6)
    assert np.allclose(json.loads(by_name.body)["outputs"]["logits"], logits, atol=1e-6)
    assert unknown.status == 400
