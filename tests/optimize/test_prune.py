"""Pruning by channels makes the exported graph itself smaller; pruning by weights only what is compressed; both go on
from the PyTorch model, and say so where there is none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import torch_nets
from cloudmodel.core.errors import ModelUnreadable, NothingChanged, ProjectInvalid, StepFailed
from cloudmodel.formats.factory import Source
from cloudmodel.formats.pytorch import modules
from cloudmodel.optimize import inference
from cloudmodel.optimize.data import read_npz
from cloudmodel.optimize.prune.magnitude import MagnitudePrune, Zeros
from cloudmodel.optimize.prune.structured import Channels, Prune
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.training import cutting, structure, trained
from torch_digits import SIGNATURE, Digits, prepared, rows

EPOCHS = 20
HALVED = Channels(ratio=0.5, round_to=4, epochs=EPOCHS, patience=EPOCHS, learning_rate=5e-3)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return prepared(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def pruned(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    assert Prune().inapplicable(digits.before, digits.material, HALVED) is None
    return Prune().apply(digits.before, digits.material, HALVED, tmp_path_factory.mktemp("pruned"))


def logits(artifact: Artifact, digits: Digits, folder: Path) -> Any:
    np.savez(folder / "final.npz", image=digits.images)
    return inference.answers(artifact.model, read_npz(folder / "final.npz", SIGNATURE), SIGNATURE)["logits"]


def test_the_exported_graph_has_fewer_channels(digits: Digits, pruned: Artifact) -> None:
    old, new = (
        {tensor.name: list(tensor.dims) for tensor in onnx.load(str(each.model)).graph.initializer}
        for each in (digits.before, pruned)
    )
    kernels = [name for name, dims in new.items() if len(dims) == 4]
    assert any(old[name] != new[name] for name in kernels)
    for name in kernels:
        assert all(now <= was for now, was in zip(new[name], old[name], strict=True))
        assert new[name][0] % 4 == 0
    assert new["head.bias"] == [10]


def test_it_costs_less_and_is_still_right(digits: Digits, pruned: Artifact, tmp_path: Path) -> None:
    counts = Prune().prove(digits.before, pruned).counts
    assert counts["macs_after"] * 2 < counts["macs_before"]
    assert counts["parameters_after"] * 2 < counts["parameters_before"]
    assert counts["bytes_after"] * 2 < counts["bytes_before"] == digits.before.model.stat().st_size
    assert counts["epochs"] == EPOCHS
    before, after = (digits.accuracy(logits(each, digits, tmp_path)) for each in (digits.before, pruned))
    assert before > 0.93
    assert after > before - 0.03


def test_what_was_trained_is_kept_as_data_and_goes_on(digits: Digits, pruned: Artifact, tmp_path: Path) -> None:
    assert pruned.trained is not None
    assert sorted(each.name for each in pruned.trained.iterdir()) == [
        "facts.json",
        "structure.json",
        "weights.safetensors",
    ]
    inputs = modules.example({"image": digits.images}, SIGNATURE)
    read = trained.read(pruned.trained, Path(torch_nets.__file__).parent, inputs)
    found = modules.answers(read.module, {"image": digits.images}, SIGNATURE)["logits"]
    np.testing.assert_allclose(found, logits(pruned, digits, tmp_path), rtol=1e-3, atol=1e-3)
    (tmp_path / "again").mkdir()
    parameters = Channels(ratio=0.3, round_to=2, epochs=0, importance="taylor", steps=2)
    again = Prune().apply(pruned, digits.material, parameters, tmp_path / "again")
    counts = Prune().prove(pruned, again).counts
    assert counts["macs_after"] < counts["macs_before"]
    assert again.trained is not None
    assert len(json.loads((again.trained / "structure.json").read_text())["edits"]) == 3


def test_the_same_step_gives_the_same_bytes(digits: Digits, pruned: Artifact, tmp_path: Path) -> None:
    again = Prune().apply(digits.before, digits.material, HALVED, tmp_path)
    assert again.model.read_bytes() == pruned.model.read_bytes()
    assert again.trained is not None
    assert pruned.trained is not None
    for name in ("structure.json", "weights.safetensors"):
        assert (again.trained / name).read_bytes() == (pruned.trained / name).read_bytes()


def test_a_step_that_changed_nothing_is_refused(digits: Digits, pruned: Artifact) -> None:
    with pytest.raises(NothingChanged, match="weight bytes, as many as before"):
        Prune().prove(pruned, pruned)
    with pytest.raises(NothingChanged):
        Prune().prove(pruned, Artifact(digits.before.model, pruned.trained))


def test_a_trained_model_that_is_not_whole_is_refused(pruned: Artifact, tmp_path: Path) -> None:
    assert pruned.trained is not None
    inputs = modules.example({"image": rows()[0]}, SIGNATURE)
    here = Path(torch_nets.__file__).parent
    document = json.loads((pruned.trained / "structure.json").read_text())
    (tmp_path / "weights.safetensors").write_bytes((pruned.trained / "weights.safetensors").read_bytes())
    with pytest.raises(ModelUnreadable, match="not whole"):
        trained.read(tmp_path, here, inputs)
    for change, message in (
        ({"factory": "torch_nets:perceptron"}, "cuts do not fit"),
        ({"edits": []}, "weights are those of another model"),
    ):
        (tmp_path / "structure.json").write_text(json.dumps({**document, **change}))
        with pytest.raises((ModelUnreadable, ProjectInvalid), match=message):
            trained.read(tmp_path, here, inputs)


@pytest.mark.parametrize("factory", ["convnet", "perceptron", "encoder"])
def test_outputs_and_the_stream_of_an_encoder_keep_their_channels(factory: str) -> None:
    module = getattr(torch_nets, factory)().eval()
    inputs = modules.example({"image": rows()[0]}, SIGNATURE)
    with modules.quiet():
        before = [tuple(each.shape) for each in modules.call(module, inputs)]
        cost = modules.macs(module, inputs)
        original = copy.deepcopy(module)
        made = cutting.cut(module, inputs, ratio=0.5, importance="norm", round_to=8, everywhere=False)
        assert [tuple(each.shape) for each in modules.call(module, inputs)] == before
        assert modules.macs(module, inputs) < cost
        repeated = structure.repeat(original, [made], inputs)
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    assert {name: tensor.shape for name, tensor in repeated.state_dict().items()} == shapes
    if factory == "encoder":
        assert shapes["encoder.layers.0.linear1.weight"] == (32, 32)  # 64 before
        assert shapes["encoder.layers.0.norm1.weight"] == (32,)
        assert shapes["head.weight"] == (10, 32)


def test_layers_too_narrow_to_prune_are_said_so() -> None:
    inputs = modules.example({"image": rows()[0]}, SIGNATURE)
    with modules.quiet(), pytest.raises(StepFailed, match="multiples of 64") as raised:
        cutting.cut(torch_nets.convnet(), inputs, ratio=0.5, importance="norm", round_to=64, everywhere=True)
    assert "round_to" in str(raised.value.hint)


def test_batch_normalization_is_estimated_from_the_rows_again() -> None:
    module = torch_nets.Block(1, 4).eval()
    batches = [(torch.randn(8, 1, 8, 8) * 3,) for _ in range(4)]
    with modules.quiet():
        assert cutting.settle(module, batches) == 2
        seen = torch.cat([module.first(inputs[0]) for inputs in batches])
    torch.testing.assert_close(module.norm1.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.norm1.running_var, seen.var((0, 2, 3)), rtol=0.2, atol=0.1)
    assert module.norm1.momentum == 0.1
    assert not module.norm1.training


def test_single_weights_become_zero_and_nothing_is_faster(digits: Digits, tmp_path: Path) -> None:
    parameters = Zeros(ratio=0.7, epochs=1)
    after = MagnitudePrune().apply(digits.before, digits.material, parameters, tmp_path)
    evidence = MagnitudePrune().prove(digits.before, after)
    counts = evidence.counts
    assert "no speed-up expected" in evidence.note
    assert counts["zeros_after"] > 0.6 * counts["weights"] > counts["zeros_before"]
    assert counts["compressed_bytes_after"] < 0.6 * counts["compressed_bytes_before"]
    sizes = [each.model.stat().st_size for each in (digits.before, after)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    with pytest.raises(NothingChanged):
        MagnitudePrune().prove(after, after)


def without(digits: Digits, **changes: Any) -> Material:
    given = {
        "signature": SIGNATURE,
        "train": digits.material.train,
        "source": digits.material.source,
        "metric": "accuracy",
    }
    return Material(**{**given, **changes})


@pytest.mark.parametrize("technique", [Prune(), MagnitudePrune()])
def test_an_onnx_file_alone_cannot_be_pruned(digits: Digits, technique: Any) -> None:
    ask = technique.inapplicable
    parameters = technique.parameters()
    for source in (None, Source(folder=Path(), weights=Path("model.pt"))):
        reason = ask(digits.before, without(digits, source=source), parameters)
        assert str(reason).startswith("not applicable, needs the PyTorch model")
    assert "put steps that train first" in str(ask(Artifact(digits.before.model), without(digits), parameters))
    assert "optimize.train" in str(ask(digits.before, without(digits, train=None), parameters))
    assert "evaluate.metric" in str(ask(digits.before, without(digits, metric=None), parameters))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": rows()[0][:30], "labels": rows()[1][:30]}, "too few to train on"),
        ({"image": rows()[0][:100]}, "have no labels"),
        ({"image": np.ones((100, 1, 8, 8), np.float32), "labels": np.zeros(100, np.int64)}, "all the same"),
    ],
)
def test_rows_that_teach_nothing_are_refused(
    digits: Digits, tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "train.npz", **arrays)
    with pytest.raises(StepFailed, match=message):
        Prune().apply(digits.before, without(digits, train=tmp_path / "train.npz"), Channels(), tmp_path)
