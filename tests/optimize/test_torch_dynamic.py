"""PyTorch's own dynamic quantization keeps the TorchScript layout, and is refused where ONNX is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import torch_nets
from cloudmodel.core.errors import NothingChanged, StepFailed
from cloudmodel.formats.factory import Source
from cloudmodel.optimize.quantize.torch_dynamic import Dynamic, TorchDynamicInt8
from cloudmodel.optimize.technique import Artifact, Material
from torch_digits import HERE, SIGNATURE, rows


def project(folder: Path, factory: str) -> tuple[Artifact, Material]:
    np.savez(folder / "calibration.npz", image=rows()[0][:16])
    module = getattr(torch_nets, factory)().eval()
    torch.jit.trace(module, (torch.from_numpy(rows()[0][:2]),)).save(folder / "original.pt")
    torch.save(module.state_dict(), folder / "weights.pt")
    source = Source(folder=HERE, factory=f"torch_nets:{factory}", weights=folder / "weights.pt")
    return Artifact(folder / "original.pt", folder / "weights.pt"), Material(
        signature=SIGNATURE, calibration=folder / "calibration.npz", source=source
    )


def test_linear_layers_are_int8_in_a_torchscript_file(tmp_path: Path) -> None:
    before, material = project(tmp_path, "perceptron")
    technique = TorchDynamicInt8()
    assert technique.inapplicable(before, material, Dynamic()) is None
    (tmp_path / "out").mkdir()
    after = technique.apply(before, material, Dynamic(), tmp_path / "out")
    counts = technique.prove(before, after).counts
    assert counts["quantized"] == 4
    assert counts["bytes_after"] < counts["bytes_before"]
    images = torch.from_numpy(rows()[0][:50])
    wanted, found = (torch.jit.load(str(each.model))(images) for each in (before, after))
    assert (wanted.argmax(1) == found.argmax(1)).float().mean() > 0.9
    assert not torch.equal(wanted, found)
    with pytest.raises(NothingChanged):
        technique.prove(after, after)


def test_it_is_refused_where_onnx_is_served(tmp_path: Path) -> None:
    _, material = project(tmp_path, "perceptron")
    reason = TorchDynamicInt8().inapplicable(Artifact(tmp_path / "model.onnx"), material, Dynamic())
    assert "no ONNX form" in str(reason)
    alone = Material(signature=SIGNATURE)
    assert "needs the PyTorch model" in str(TorchDynamicInt8().inapplicable(Artifact(Path("a.pt")), alone, Dynamic()))


def test_a_model_without_linear_layers_is_said_so(tmp_path: Path) -> None:
    before, material = project(tmp_path, "only_convolutions")
    with pytest.raises(StepFailed, match="no linear layer"):
        TorchDynamicInt8().apply(before, material, Dynamic(), tmp_path)
