"""A PyTorch model trained on digits, its ONNX file and its training rows, as the training techniques get them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.pytorch import export, modules
from cloudmodel.optimize.technique import Artifact, Material
from torch_nets import convnet

HERE = Path(__file__).parent
TRAINED_ON = 1000
EPOCHS, BATCH = 4, 50
SIGNATURE = Signature(
    inputs=(Tensor(name="image", dtype="float32", shape=("batch", 1, 8, 8)),),
    outputs=(Tensor(name="logits", dtype="float32", shape=("batch", 10)),),
)


@dataclass(frozen=True)
class Digits:
    """`before` and `material` go into a technique; the final rows were seen by nobody."""

    before: Artifact
    material: Material
    images: Any
    labels: Any

    def accuracy(self, logits: Any) -> float:
        return float((logits.argmax(1) == self.labels).mean())


@cache
def rows() -> tuple[Any, Any]:
    data = load_digits()
    return data.images[:, None].astype(np.float32), data.target.astype(np.int64)


def prepared(folder: Path) -> Digits:
    """Train `convnet` a little, and write everything into `folder`."""
    images, labels = rows()
    np.savez(folder / "train.npz", image=images[:TRAINED_ON], labels=labels[:TRAINED_ON])
    net = convnet()
    with modules.quiet(seed=5):
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
        # It ends in small steps: with large ones the accuracy is chance, and another on each kind of processor.
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=EPOCHS * TRAINED_ON // BATCH)
        net.train()
        for _ in range(EPOCHS):
            order = torch.randperm(TRAINED_ON)
            for start in range(0, TRAINED_ON, BATCH):
                batch = order[start : start + BATCH]
                optimizer.zero_grad()
                found = net(torch.from_numpy(images)[batch])
                torch.nn.functional.cross_entropy(found, torch.from_numpy(labels)[batch]).backward()
                optimizer.step()
                schedule.step()
    torch.save(net.state_dict(), folder / "convnet.pt")
    written = export.export(net, {"image": images[:8]}, SIGNATURE, folder)
    material = Material(
        signature=SIGNATURE,
        train=folder / "train.npz",
        source=Source(folder=HERE, factory="torch_nets:convnet", weights=folder / "convnet.pt"),
        metric="accuracy",
        folder=HERE,
    )
    return Digits(Artifact(written.model, folder / "convnet.pt"), material, images[TRAINED_ON:], labels[TRAINED_ON:])
