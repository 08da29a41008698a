"""Makes the digits template again: trains a small convolutional net and writes it as ONNX, with its data.

The data are scikit-learn's 1,797 handwritten digits of 8 x 8 pixels (values 0 to 16), shuffled once with a fixed
seed: 899 images to train on, 898 held out. The scaling of pixel values is part of the model, so that a caller
sends raw pixels.

    python -m venv .venv-template
    .venv-template/bin/pip install --group template onnxruntime
    .venv-template/bin/python tools/train_digits.py

Trained with one thread and a fixed seed; the accuracy printed is checked by tests/template/test_digits.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from sklearn.datasets import load_digits
from torch import nn

TARGET = Path(__file__).parent.parent / "cli/cloudmodel/cli/scaffold/digits"
SEED = 20
TRAIN = 899
EPOCHS = 60


def split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(images float32 [n, 1, 8, 8], labels int64 [n]) to train on, and the same held out."""
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order], labels[order]
    return (images[:TRAIN], labels[:TRAIN]), (images[TRAIN:], labels[TRAIN:])


class Digits(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """Pixels float32 [n, 1, 8, 8] in 0 to 16 -> logits float32 [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(48 * 4, 10),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(image / 16.0)
        return logits


def train(images: np.ndarray, labels: np.ndarray) -> Digits:
    """Cross-entropy, AdamW, a cosine schedule; returns the net in evaluation mode."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    net = Digits()
    data = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    batches = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
    for _ in range(EPOCHS):
        for image, label in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(image), label).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    return net


def main() -> None:
    """Write models/ and data/ of the template and print the held-out accuracy of the ONNX file."""
    (images, labels), (held_images, held_labels) = split()
    net = train(images, labels)
    model = TARGET / "models/digits.onnx"
    torch.onnx.export(
        net, (torch.from_numpy(images[:2]),), model, input_names=["image"], output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}}, opset_version=20, dynamo=True,
        external_data=False,
    )  # fmt: skip
    graph = onnx.load(model)
    onnx.checker.check_model(graph, full_check=True)
    # The exporter notes source lines and machine paths on every node; none of that belongs to a shipped file.
    graph.doc_string = ""
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del graph.metadata_props[:], graph.graph.metadata_props[:]
    for value in (*graph.graph.value_info, *graph.graph.input, *graph.graph.output):
        del value.metadata_props[:]
    onnx.save(graph, model)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": held_images})
    accuracy = float((logits.argmax(1) == held_labels).mean())
    difference = float(np.abs(logits - net(torch.from_numpy(held_images)).detach().numpy()).max())
    np.savez_compressed(TARGET / "data/train.npz", inputs=images, labels=labels)
    np.savez_compressed(TARGET / "data/heldout.npz", inputs=held_images, labels=held_labels)
    (TARGET / "models/labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    print(f"held out: accuracy {accuracy:.4f} on {len(held_labels)} images, ONNX against torch {difference:.1e}")


if __name__ == "__main__":
    main()
