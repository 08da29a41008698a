"""A model from a factory and its weights: read without running code from the weights, confined, exported, compared."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

import torch_nets
from cloudmodel.core.errors import CloudmodelError, ModelUnreadable, ProjectInvalid, StepFailed, UnsafeModel
from cloudmodel.formats import opening
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Job
from cloudmodel.formats.pytorch import export, modules, source

HERE = Path(torch_nets.__file__).parent
VECTOR = Signature(inputs=(Tensor(name="x", dtype="float32", shape=("batch", 4)),), outputs=())
TOKENS = Signature(
    inputs=(
        Tensor(name="tokens", dtype="int64", shape=("batch", "sequence")),
        Tensor(name="mask", dtype="float32", shape=("batch", "sequence")),
    ),
    outputs=(),
)


def state() -> dict[str, Any]:
    return {name: torch.full_like(tensor, 0.5) for name, tensor in torch_nets.branching().state_dict().items()}


def plain(path: Path) -> None:
    torch.save(state(), path)


def checkpoint(path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": state(), "optimizer": {}}, path)


def parallel(path: Path) -> None:
    torch.save({f"module.{name}": tensor for name, tensor in state().items()}, path)


def safetensors(path: Path) -> None:
    save_file(state(), path)


@pytest.mark.parametrize("write", [plain, checkpoint, parallel, safetensors])
def test_weights_are_read_however_they_were_saved(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "weights")
    module = source.load(Source(folder=HERE, factory="torch_nets:branching", weights=tmp_path / "weights"))
    assert all(bool((tensor == 0.5).all()) for tensor in module.state_dict().values())
    assert not module.training


class Evil:
    """Unpickled, it makes a file beside itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path.with_name("ran"),))


def cut_short(path: Path) -> None:
    plain(path)
    os.truncate(path, 500)


BAD_WEIGHTS: dict[str, tuple[Callable[[Path], Any], type[CloudmodelError], str]] = {
    "code": (lambda path: torch.save({"a": Evil(path)}, path), UnsafeModel, "more than tensors"),
    "a whole module": (lambda path: torch.save(torch_nets.branching(), path), UnsafeModel, "more than tensors"),
    "cut short": (cut_short, ModelUnreadable, "cannot read"),
    "text": (lambda path: path.write_text("weights"), UnsafeModel, "more than tensors"),
    "no state dict": (lambda path: torch.save([1, 2], path), ProjectInvalid, "no state dict"),
    "missing": (
        lambda path: torch.save({"head.weight": torch.zeros(2, 4)}, path),
        ProjectInvalid,
        "head.bias is missing",
    ),
    "unknown": (lambda path: torch.save({**state(), "z": torch.zeros(1)}, path), ProjectInvalid, "z is unknown"),
    "another shape": (
        lambda path: torch.save({**state(), "head.weight": torch.zeros(3, 4)}, path),
        ProjectInvalid,
        r"head.weight is \[3, 4\], the model has \[2, 4\]",
    ),
    "not there": (lambda path: None, ProjectInvalid, "no such weights file"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_weights_that_cannot_be_used_are_refused_by_name(tmp_path: Path, name: str) -> None:
    write, error, message = BAD_WEIGHTS[name]
    write(tmp_path / "weights.pt")
    with pytest.raises(error, match=message) as raised:
        source.load(Source(folder=HERE, factory="torch_nets:branching", weights=tmp_path / "weights.pt"))
    assert raised.value.hint or name in ("cut short",)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("torch_nets:no_module", "returned str"),
        ("torch_nets:broken", "ValueError: no such layer"),
        ("torch_nets:absent", "cannot be imported"),
        ("absent_nets:convnet", "cannot be imported"),
    ],
)
def test_a_factory_that_makes_no_module_is_refused(factory: str, message: str) -> None:
    with pytest.raises(ProjectInvalid, match=message):
        source.load(Source(folder=HERE, factory=factory))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def build(:", "cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def build(): raise SystemExit(0)", "The factory failed: SystemExit: 0"),
    ],
)
def test_a_project_whose_code_does_not_run_is_told_what_it_said(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / f"{tmp_path.name}.py").write_text(code)
    with pytest.raises(ProjectInvalid, match=message) as raised:
        source.load(Source(folder=tmp_path, factory=f"{tmp_path.name}:build"))
    assert raised.value.hint


CURIOUS = """
import os, socket
from torch_nets import branching

def build():
    seen = [name for name in os.environ if name.startswith("AWS_")]
    if seen:
        raise RuntimeError(f"credentials are in reach: {seen}")
    with socket.socket() as client:
        try:
            client.connect(("127.0.0.1", PORT))
        except OSError:
            return branching()
    raise RuntimeError("the network is in reach")
"""


def test_a_factory_runs_without_credentials_and_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "torch_nets.py").write_text(Path(torch_nets.__file__).read_text())
    curious = Source(folder=project, factory="curious_net:build")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as server:
        (project / "curious_net.py").write_text(CURIOUS.replace("PORT", str(server.getsockname()[1])))
        with pytest.raises(ProjectInvalid, match="network is in reach"):
            source.load(curious)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        with pytest.raises(ProjectInvalid, match="credentials are in reach"):
            source.load(curious)
        exported = opening.export(Job("torch", None, VECTOR.inputs, curious), tmp_path / "out")
    assert Path(exported.model).is_file()
    # torch.export refuses its control flow, the trace takes it; which is told.
    assert exported.exporter == "torchscript"
    assert exported.reason.startswith("dynamo: ")
    assert exported.worst < 1e-6


def test_a_signature_without_inputs_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="does not say what its model takes") as raised:
        opening.export(Job("torch", None, (), Source(folder=HERE, factory="torch_nets:lookup")), tmp_path)
    assert raised.value.where == "model.inputs"


def test_the_child_s_own_error_comes_through(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="no such layer"):
        opening.export(Job("torch", None, VECTOR.inputs, Source(folder=HERE, factory="torch_nets:broken")), tmp_path)


def test_an_export_has_the_signature_s_names_and_open_dimensions(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {"tokens": random.integers(0, 50, (8, 6)), "mask": np.ones((8, 6), np.float32)}
    module = torch_nets.lookup().eval()
    with modules.quiet():
        written = export.export(module, arrays, TOKENS, tmp_path)
    model = onnx.load(str(written.model))
    assert {each.domain: each.version for each in model.opset_import}[""] == 20
    assert model.ir_version == 10
    assert [[size.dim_param for size in value.type.tensor_type.shape.dim] for value in model.graph.input] == [
        ["batch", "sequence"], ["batch", "sequence"],
    ]  # fmt: skip
    assert [value.name for value in model.graph.output] == ["output_0", "output_1"]
    session = onnxruntime.InferenceSession(str(written.model), providers=["CPUExecutionProvider"])
    for batch, length in ((1, 2), (5, 11)):
        rows: dict[str, Any] = {
            "tokens": random.integers(0, 50, (batch, length)),
            "mask": np.ones((batch, length), np.float32),
        }
        wanted = modules.answers(module, rows, TOKENS)
        for left, right in zip(wanted.values(), session.run(None, rows), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    raw = written.model.read_bytes()
    assert str(HERE).encode() not in raw  # no machine path, no line of anyone's source
    assert b"torch_nets" not in raw


def test_a_file_of_dynamo_that_cannot_be_loaded_is_passed_over_and_told(tmp_path: Path) -> None:
    """An output called as a value inside: dynamo writes the name twice."""
    clash = Signature(inputs=VECTOR.inputs, outputs=(Tensor(name="linear", dtype="float32", shape=("batch", 3)),))
    arrays = {"x": np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)}
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    with modules.quiet():
        written = export.export(module, arrays, clash, tmp_path)
    assert written.exporter == "torchscript"
    assert written.reason.startswith("dynamo: ")
    assert "'linear' has been used as output names multiple times" in written.reason
    assert written.worst < 1e-6


def test_a_model_that_no_exporter_writes_rightly_is_refused_with_both_reasons(tmp_path: Path) -> None:
    arrays = {"x": np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)}
    with modules.quiet(), pytest.raises(StepFailed, match=r"dynamo: .*torchscript: on a batch of 1 the file answers"):
        export.export(torch_nets.one_size(), arrays, VECTOR, tmp_path)
