"""PyTorch models of the tests, as a user's factories: importable as `torch_nets:…` from this folder."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Tensor = Any


class Block(nn.Module):  # type: ignore[misc]
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.first(x)))
        return torch.relu(self.norm2(self.second(inner)) + self.shortcut(x))


class ConvNet(nn.Module):  # type: ignore[misc]
    """A small residual network for digits [batch, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 1, 1)
        self.blocks = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 32, 2), Block(32, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(image / 16)).mean((2, 3)))


class Encoder(nn.Module):  # type: ignore[misc]
    """A transformer encoder over the rows of a digit, with its embedding as a second output."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(8, 32)
        self.places = nn.Parameter(torch.zeros(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.encoder(self.rows(image.squeeze(1) / 16) + self.places).mean(1)
        return self.head(embedding), nn.functional.normalize(embedding, dim=-1)


class Branching(nn.Module):  # type: ignore[misc]
    """Control flow that depends on a value: torch.export refuses it, a trace takes one side."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if float(x.abs().sum()) >= 0:
            return self.head(x)
        return self.head(-x)


class OneSize(nn.Module):  # type: ignore[misc]
    """Answers rightly in PyTorch at any batch size, with a constant of the batch that it was exported with."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x) * float(len(x)) if float(x.sum()) == float(x.sum()) else x


class Bessel(nn.Module):  # type: ignore[misc]
    """A function that ONNX has not: PyTorch alone can run it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(self.head(x))


class Lookup(nn.Module):  # type: ignore[misc]
    """Integers in, a mapping of two outputs out."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        hidden = (self.table(tokens) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
        return {"scores": self.head(hidden), "embedding": hidden}


def convnet() -> nn.Module:
    torch.manual_seed(0)
    return ConvNet()


def tiny() -> nn.Module:
    """A student of the project's own."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))


def encoder() -> nn.Module:
    torch.manual_seed(0)
    return Encoder()


def branching() -> nn.Module:
    torch.manual_seed(0)
    return Branching()


def one_size() -> nn.Module:
    torch.manual_seed(0)
    return OneSize()


def bessel() -> nn.Module:
    torch.manual_seed(0)
    return Bessel()


def lookup() -> nn.Module:
    torch.manual_seed(0)
    return Lookup()


def five_wide() -> nn.Module:
    """Another number of classes than `convnet`."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))


def no_module() -> str:
    return "a model"


def broken() -> nn.Module:
    raise ValueError("no such layer")


def only_convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
