"""Small Keras models and SavedModels, made by TensorFlow in a process of its own: `python -m keras_models FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers


def two_towers() -> keras.Model:
    """Two named inputs of different kinds, a mapping of outputs, constants that were measured, an open length."""
    scale = layers.Normalization()
    scale.adapt(np.random.default_rng(0).normal(3, 2, (100, 4)))
    item = keras.Input((4,), name="item")
    words = keras.Input((None,), dtype="int32", name="words")
    text = layers.Bidirectional(layers.LSTM(3))(layers.Embedding(50, 8)(words))
    both = layers.Concatenate()([layers.Dense(5, activation="relu")(scale(item)), text])
    return keras.Model({"words": words, "item": item}, {"score": layers.Dense(1)(both), "kind": layers.Dense(3)(both)})


def vectorized() -> keras.Model:
    """Takes text and splits it by a pattern, which ONNX cannot."""
    split = layers.TextVectorization(20, output_sequence_length=5)
    split.adapt(["a bird in the hand", "two in the bush"])
    text = keras.Input((1,), dtype="string", name="text")
    return keras.Model(text, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(split(text)))))


class Table(tf.Module):  # type: ignore[misc]
    """A lookup of words and a variable; two signatures, none of the common name."""

    def __init__(self) -> None:
        self.ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["a", "word"], tf.constant([4, 7], tf.int64)), -1
        )
        self.weight = tf.Variable(2.5)


def table(folder: Path, *names: str) -> None:
    """A SavedModel with these signatures."""
    module = Table()
    specs = [tf.TensorSpec([None], tf.string, name="word"), tf.TensorSpec([None], tf.float32, name="x")]
    module.look = tf.function(
        lambda word, x: {"id": module.ids.lookup(word), "y": x * module.weight}, input_signature=specs
    )
    tf.saved_model.save(module, str(folder), signatures=dict.fromkeys(names, module.look))


def main(folder: Path) -> None:
    """Write them all."""
    keras.utils.set_random_seed(0)
    two_towers().save(folder / "two-towers.keras")
    vectorized().save(folder / "vectorized.keras")
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save(folder / "old.h5")
    table(folder / "table", "look")
    table(folder / "two-signatures", "look", "see")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
