"""The model and data that `init --template digits` ships are what they are said to be."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.datasets import load_digits

TEMPLATE = Path(str(files("cloudmodel.cli"))) / "scaffold/digits"


@pytest.mark.parametrize(("name", "first", "last"), [("train", 0, 899), ("heldout", 899, 1797)])
def test_data_are_scikit_learns_digits_in_the_fixed_split(name: str, first: int, last: int) -> None:
    digits = load_digits()
    order = np.random.default_rng(20).permutation(len(digits.images))[first:last]
    with np.load(TEMPLATE / f"data/{name}.npz") as data:
        assert data["inputs"].dtype == np.float32
        assert data["labels"].dtype == np.int64
        np.testing.assert_array_equal(data["inputs"][:, 0], digits.images[order])
        np.testing.assert_array_equal(data["labels"], digits.target[order])


def test_model_has_learned_the_digits_it_never_saw() -> None:
    with np.load(TEMPLATE / "data/heldout.npz") as data:
        images, labels = data["inputs"], data["labels"]
    session = onnxruntime.InferenceSession(TEMPLATE / "models/digits.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    assert (logits.argmax(axis=1) == labels).mean() >= 0.985


def test_model_is_a_convolutional_net_with_a_symbolic_batch_and_no_trace_of_the_machine_it_was_made_on() -> None:
    model = onnx.load(TEMPLATE / "models/digits.onnx")
    assert "Conv" in {node.op_type for node in model.graph.node}
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dimension.dim_param or dimension.dim_value for dimension in shape] == ["batch", 1, 8, 8]
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert (TEMPLATE / "models/labels.txt").read_text().split() == [str(digit) for digit in range(10)]
