"""The bundle's own code answers as the original does, or there is no bundle."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from cloudmodel.bundle import golden, parity
from cloudmodel.bundle.manifest import Golden, Parity, Signature, Tensor
from cloudmodel.core.errors import GateNotMet, ModelUnreadable, ProjectInvalid, Unsupported
from cloudmodel.formats import onnx_original, samples
from cloudmodel.formats.asking import ask
from cloudmodel.formats.original import Asked, Job


def prove(model: Path, bundle: Path) -> tuple[Parity, Golden | None, Asked]:
    """What `package` does in a child and after it, in this process."""
    original = onnx_original.open_model(Job("onnx", model))
    asked = ask(original, original.signature, where=str(model))
    found, kept = parity.prove(asked, bundle, where=str(model))
    return found, kept, asked


ECHO = """
import io
import numpy as np
class Model:
    pass
def model_fn(model_dir):
    return Model()
def input_fn(data, content_type):
    return dict(np.load(io.BytesIO(data)))
def predict_fn(data, model):
    return {"y": ANSWER}
def output_fn(prediction, accept):
    file = io.BytesIO()
    np.savez(file, **prediction)
    return file.getvalue(), accept
"""


def _bundle(folder: Path, code: str) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code/inference.py").write_text(code)
    return folder


def _tensor(name: str, dtype: str, *shape: int | str) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10)", True),
        ("data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10) + 1e-6", True),
        ("data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10) + 1e-3", False),
        ("data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10) * np.nan", False),
        ("(data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10))[:, ::-1]", False),
        ("(data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10))[:, :2]", False),
        ("(data['x'] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10)).astype(int)", False),
    ],
)
def test_answers_that_differ_fail_the_gate(tmp_path: Path, answer: str, passes: bool) -> None:
    model = onnx_models.linear(tmp_path / "m.onnx")
    bundle = _bundle(tmp_path / "bundle", ECHO.replace("ANSWER", answer))
    if passes:
        found, kept, asked = prove(model, bundle)
        assert found.passed
        assert found.samples == sum(samples.BATCHES)
        assert found.agreement == 1.0
        assert found.max_abs_error < 1e-5
        assert asked.sizes[0] == {"batch": 1}
        assert kept is not None
        request, expected = (golden.arrays((bundle / name).read_bytes()) for name in (kept.request, kept.answer))
        (answered,) = expected.values()
        assert np.allclose(answered, request["x"] @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10))
        return
    with pytest.raises(GateNotMet, match="answers differently") as caught:
        prove(model, bundle)
    assert caught.value.code == 15
    assert caught.value.details["parity"]["passed"] is False


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import cloudmodel.core", "a container has no cloudmodel"),
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
        ("import os; os._exit(3)", "ended with 3"),
        ("", "model_fn"),
        ("import os; assert not any(name.startswith('AWS') for name in os.environ); raise ValueError('bare')", "bare"),
        ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')", "no network"),
    ],
)
def test_serving_code_is_shut_in_and_says_why_it_fails(
    tmp_path: Path, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    model = onnx_models.linear(tmp_path / "m.onnx")
    with pytest.raises(GateNotMet, match=words):
        prove(model, _bundle(tmp_path / "bundle", code))


def test_a_model_that_runs_with_nothing_asks_for_real_inputs(tmp_path: Path) -> None:
    from onnx import TensorProto as T
    from onnx import helper

    model = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [onnx_models.value("x", T.FLOAT, ["n"])],
        [onnx_models.value("y", T.FLOAT, ["m", 13])],
        [onnx_models.weight("shape", np.array([-1, 13]))],
    )
    with pytest.raises(ModelUnreadable, match="none of the inputs tried") as caught:
        prove(model, _bundle(tmp_path / "bundle", ""))
    assert "evaluate.data" in str(caught.value.hint)


def _endless(path: Path) -> Path:
    from onnx import TensorProto as T
    from onnx import helper

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["a"], ["b"])],
        "body",
        [
            onnx_models.value("i", T.INT64, []),
            onnx_models.value("go", T.BOOL, []),
            onnx_models.value("a", T.FLOAT, [1]),
        ],
        [onnx_models.value("on", T.BOOL, []), onnx_models.value("b", T.FLOAT, [1])],
    )
    return onnx_models.save(
        path,
        [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)],
        [onnx_models.value("x", T.FLOAT, [1])],
        [onnx_models.value("y", T.FLOAT, [1])],
        [onnx_models.weight("true", np.array(True))],
    )


def test_a_model_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_original, "TIMEOUT", 0.1)
    model = _endless(tmp_path / "m.onnx")
    with pytest.raises(ModelUnreadable, match="no answer"):
        prove(model, _bundle(tmp_path / "bundle", ""))


def test_ctrl_c_stops_a_model_that_never_ends(tmp_path: Path) -> None:
    model = _endless(tmp_path / "m.onnx")
    main = threading.main_thread().ident
    assert main is not None
    interrupt = threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        prove(model, _bundle(tmp_path / "bundle", ""))


def test_answers_too_large_to_compare_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_BYTES", 200)
    model = onnx_models.linear(tmp_path / "m.onnx", matrix=np.ones((4, 100), np.float32))
    with pytest.raises(Unsupported, match="answer of this model takes"):
        prove(model, _bundle(tmp_path / "bundle", ""))


def test_the_same_seed_gives_the_same_inputs() -> None:
    signature = Signature(
        inputs=(
            _tensor("f", "float16", "n", 3),
            _tensor("i", "uint8", "n", "t"),
            _tensor("b", "bool", "n"),
            _tensor("s", "str", "n", 2),
            _tensor("c", "int64"),
        ),
        outputs=(),
    )
    first, second = (samples.make(signature, 3, samples.Guess(5, 1000)) for _ in range(2))
    for tensor in signature.inputs:
        array = first[tensor.name]
        assert array.dtype == (object if tensor.dtype == "str" else np.dtype(tensor.dtype))
        assert np.array_equal(array, second[tensor.name])
    assert {name: array.shape for name, array in first.items()} == {
        "f": (3, 3), "i": (3, 5), "b": (3,), "s": (3, 2), "c": (),
    }  # fmt: skip
    assert first["i"].max() < 255


def test_inputs_too_large_for_any_machine_are_not_made() -> None:
    signature = Signature(inputs=(_tensor("x", "float32", 1 << 20, 1 << 20),), outputs=())
    with pytest.raises(Unsupported, match="MiB"):
        samples.make(signature, 1, samples.Guess(1, 2))


def test_real_rows_are_found_by_the_inputs_names(tmp_path: Path) -> None:
    signature = Signature(inputs=(_tensor("image", "float32", "n", 2),), outputs=())
    rows = np.arange(10).reshape(5, 2)
    for names in ({"image": rows}, {"inputs": rows, "labels": np.arange(5)}, {"x": rows.astype(np.float64)}):
        np.savez(tmp_path / "d.npz", **names)
        if "x" in names or "image" in names or "inputs" in names:
            arrays = samples.load(tmp_path / "d.npz", signature)
            assert arrays is not None
            assert arrays["image"].dtype == np.float32
            assert samples.rows(arrays, signature, 3, 4)["image"].tolist() == [[8, 9], [0, 1], [2, 3]]
    np.savez(tmp_path / "d.npz", other=rows)
    assert samples.load(tmp_path / "d.npz", signature) is None
    assert samples.load(tmp_path / "d.csv", signature) is None


@pytest.mark.parametrize("rows", [np.zeros((5, 3)), np.zeros(5), np.zeros((0, 2)), np.array([["a", "b"]])])
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, rows: np.ndarray) -> None:
    np.savez(tmp_path / "d.npz", image=rows)
    signature = Signature(inputs=(_tensor("image", "float32", "n", 2),), outputs=())
    with pytest.raises(ProjectInvalid):
        samples.load(tmp_path / "d.npz", signature)


def test_data_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"no npz")
    np.savez(tmp_path / "pickled.npz", image=np.array([{"a": 1}], dtype=object))
    signature = Signature(inputs=(_tensor("image", "float32", "n", 2),), outputs=())
    for name in ("d.npz", "pickled.npz", "absent.npz"):
        with pytest.raises(ProjectInvalid, match="cannot be read"):
            samples.load(tmp_path / name, signature)
