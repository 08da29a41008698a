"""A project whose model is a PyTorch factory: `optimize` exports it, and goes on as with any ONNX file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from optimized_project import cloudmodel

NET = """\
import torch

def build():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(16, 96), torch.nn.ReLU(), torch.nn.Linear(96, 4))
"""
SETTINGS = """\
version: 1
name: factory
model:
  source: net_of_this_project:build
  weights: net.pt
  inputs:
    - {name: x, dtype: float32, shape: [batch, 16]}
evaluate: {data: heldout.npz, metric: accuracy}
optimize: {objective: size, techniques: [quantize], max_drop: 0.02}
"""


def test_factory_is_exported_quantized_and_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert cloudmodel("init", str(folder), "--template", "blank").returncode == 0
    (folder / "cloudmodel.yaml").write_text(SETTINGS)
    (folder / "net_of_this_project.py").write_text(NET)
    scope: dict[str, object] = {}
    exec(NET, scope)
    net = scope["build"]()  # type: ignore[operator]
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.save(net.state_dict(), folder / "net.pt")
    rows = np.random.default_rng(1).normal(size=(4000, 16)).astype(np.float32)
    scores = net(torch.from_numpy(rows)).detach().numpy()
    best = np.sort(scores, axis=1)
    clear = np.argsort(best[:, -2] - best[:, -1])[:900]  # rows whose answer is clear; the labels are the net's own
    np.savez(folder / "heldout.npz", x=rows[clear], labels=scores[clear].argmax(1))
    (folder / "recipes.yaml").write_text("version: 1\nrecipes: [[{technique: dynamic-int8}]]\n")
    ran = cloudmodel("optimize", "--recipe", str(folder / "recipes.yaml"), "--json", folder=folder)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["baseline"]["metric"] == 1.0
    assert found["chosen"] == "t1"
    again = cloudmodel("optimize", "replay", found["bundle"], "--json", folder=folder)
    assert again.returncode == 0, again.stdout
    assert json.loads(again.stdout)["digest"] == found["bundle"]
