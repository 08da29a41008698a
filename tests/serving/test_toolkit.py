"""AWS's own inference toolkit runs a bundle's code, where cloudmodel cannot be imported, and answers as onnxruntime."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from aws_toolkits import ask


def direct(bundle: Path, **inputs: Any) -> dict[str, Any]:
    """onnxruntime's own answer."""
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_every_form_of_a_single_input(bundles: dict[str, Path], tmp_path: Path) -> None:
    image = np.random.default_rng(3).standard_normal((5, 1, 8, 8)).astype(np.float32)
    logits = direct(bundles["digits"], image=image)["logits"]
    table = "\n".join(",".join(str(cell) for cell in row) for row in image.reshape(5, -1).tolist()).encode()
    answers = ask(
        bundles["digits"],
        tmp_path,
        ("application/json", "application/json", json.dumps({"inputs": {"image": image.tolist()}}).encode()),
        ("application/json", "*/*", json.dumps({"instances": image.tolist()}).encode()),
        ("application/x-npy", "application/x-npy", npy(image)),
        ("application/x-npy", "application/x-npz", npy(image)),
        ("application/x-npz", "application/json", npz(image=image)),
        ("text/csv", "text/csv", table),
    )
    assert [answer.status for answer in answers] == [200] * 6
    kinds = ("json", "json", "x-npy", "x-npz", "json")
    assert [answer.kind for answer in answers] == [*(f"application/{kind}" for kind in kinds), "text/csv"]
    assert json.loads(answers[0].body) == {"outputs": {"logits": logits.tolist()}}
    assert json.loads(answers[1].body) == {"predictions": logits.tolist()}
    assert np.array_equal(np.load(io.BytesIO(answers[2].body)), logits)
    assert np.array_equal(np.load(io.BytesIO(answers[3].body))["logits"], logits)
    assert json.loads(answers[4].body) == {"outputs": {"logits": logits.tolist()}}
    assert np.array_equal(np.loadtxt(io.BytesIO(answers[5].body), delimiter=",", dtype=np.float32), logits)


def test_several_inputs_and_outputs(bundles: dict[str, Path], tmp_path: Path) -> None:
    ids = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]])
    expected = direct(bundles["text"], ids=ids, mask=mask)
    rows = [{"ids": a.tolist(), "mask": b.tolist()} for a, b in zip(ids, mask, strict=True)]
    by_name, by_row, packed = ask(
        bundles["text"],
        tmp_path,
        ("application/json", "", json.dumps({"inputs": {"ids": ids.tolist(), "mask": mask.tolist()}}).encode()),
        ("application/json", "", json.dumps({"instances": rows}).encode()),
        ("application/x-npz", "application/x-npz", npz(ids=ids, mask=mask)),
    )
    assert json.loads(by_name.body) == {"outputs": {name: array.tolist() for name, array in expected.items()}}
    assert json.loads(by_row.body) == {
        "predictions": [{name: array[row].tolist() for name, array in expected.items()} for row in range(2)]
    }
    unpacked = np.load(io.BytesIO(packed.body))
    assert all(np.array_equal(unpacked[name], array) for name, array in expected.items())


def test_integers_booleans_and_strings_keep_their_kind(bundles: dict[str, Path], tmp_path: Path) -> None:
    inputs = {"f": [[0.5, -1]], "d": [[1e300, 0.1]], "i": [[2**53 + 1, -3]], "u": [[0, 255]], "b": [[True, False]],
              "s": [["größer", ""]]}  # fmt: skip
    (answer,) = ask(bundles["echo"], tmp_path, ("application/json", "", json.dumps({"inputs": inputs}).encode()))
    assert json.loads(answer.body) == {"outputs": {f"{name}_out": rows for name, rows in inputs.items()}}


@pytest.mark.parametrize(("name", "inputs"), [("scalar", {"f": 2.5}), ("rows", {"f": [1.5], "i": [2], "b": [True]})])
def test_scalars_and_plain_rows(bundles: dict[str, Path], tmp_path: Path, name: str, inputs: Any) -> None:
    (answer,) = ask(bundles[name], tmp_path, ("application/json", "", json.dumps({"inputs": inputs}).encode()))
    assert json.loads(answer.body) == {"outputs": {f"{key}_out": value for key, value in inputs.items()}}


def test_the_clients_mistakes_have_the_clients_status(bundles: dict[str, Path], tmp_path: Path) -> None:
    answers = ask(
        bundles["text"],
        tmp_path,
        ("application/json", "", b"{"),
        ("application/json", "", b'{"inputs": {"ids": [[1]]}}'),
        ("application/json", "", b'{"inputs": {"ids": [[999]], "mask": [[1]]}}'),
        ("image/png", "", b"x"),
        ("application/json", "image/png", b'{"inputs": {"ids": [[1]], "mask": [[1]]}}'),
    )
    assert [answer.status for answer in answers] == [400, 400, 400, 415, 406]
    assert b"missing 'mask'; the model takes ids: int64[batch, tokens]" in answers[1].body
    assert b"999" in answers[2].body
