"""A student learns from the original: a smaller one of the same kind, or the project's own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torch_nets
from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Progress
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.pytorch import modules
from cloudmodel.optimize import inference, losses
from cloudmodel.optimize.data import Dataset, read_npz
from cloudmodel.optimize.distill.distill import Distill, Student
from cloudmodel.optimize.recipe import Recipe, step
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.technique import Artifact
from cloudmodel.optimize.training import structure, student
from cloudmodel.optimize.training.loss import Lesson, Mix
from cloudmodel.optimize.workshop import Workshop
from torch_digits import SIGNATURE, TRAINED_ON, Digits, prepared, rows


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return prepared(tmp_path_factory.mktemp("digits"))


def accuracy(artifact: Artifact, digits: Digits, folder: Path) -> float:
    np.savez(folder / "final.npz", image=digits.images)
    found = inference.answers(artifact.model, read_npz(folder / "final.npz", SIGNATURE), SIGNATURE)
    return digits.accuracy(found["logits"])


SHALLOW = Student(width=0.5, depth=0.5, round_to=4, epochs=5, learning_rate=5e-3)


def test_a_narrower_and_shallower_student_is_not_much_worse(digits: Digits, tmp_path: Path) -> None:
    heard: list[Progress] = []
    assert Distill().inapplicable(digits.before, digits.material, SHALLOW) is None
    after = Distill().apply(digits.before, digits.material, SHALLOW, tmp_path, heard.append)
    counts = Distill().prove(digits.before, after).counts
    assert counts["macs_after"] * 4 < counts["macs_before"]
    assert counts["nodes_after"] < counts["nodes_before"]
    assert accuracy(after, digits, tmp_path) > accuracy(digits.before, digits, tmp_path) - 0.12
    assert [each.done for each in heard] == [1, 2, 3, 4, 5]
    assert not list(tmp_path.glob("checkpoint*"))


def test_a_step_that_was_stopped_goes_on_to_the_same_bytes(digits: Digits, tmp_path: Path) -> None:
    parameters = SHALLOW.model_copy(update={"epochs": 2})
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    whole.mkdir()
    halved.mkdir()
    after = Distill().apply(digits.before, digits.material, parameters, whole)

    def stop(progress: Progress, /) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Distill().apply(digits.before, digits.material, parameters, halved, stop)
    heard: list[Progress] = []
    again = Distill().apply(digits.before, digits.material, parameters, halved, heard.append)
    assert [each.done for each in heard] == [2]
    assert again.model.read_bytes() == after.model.read_bytes()


def test_the_project_s_own_student_learns(digits: Digits, tmp_path: Path) -> None:
    parameters = Student(student="torch_nets:tiny", epochs=8, learning_rate=1e-2, features=0.1, logits=0.01)
    after = Distill().apply(digits.before, digits.material, parameters, tmp_path)
    assert Distill().prove(digits.before, after).counts["parameters_after"] == 64 * 16 + 16 + 160 + 10
    assert accuracy(after, digits, tmp_path) > 0.7


def test_a_student_that_answers_otherwise_is_refused(digits: Digits, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"\[\[2, 5\]\], the original \[\[2, 10\]\]"):
        Distill().apply(digits.before, digits.material, Student(student="torch_nets:five_wide"), tmp_path)


def test_a_student_as_large_as_the_original_is_refused(digits: Digits) -> None:
    assert "would be the original" in str(Distill().inapplicable(digits.before, digits.material, Student(width=1.0)))


@pytest.mark.parametrize(
    ("factory", "dropped"),
    [("convnet", ["blocks"]), ("perceptron", [""]), ("encoder", ["encoder.layers"])],
)
def test_layers_that_repeat_are_left_out(factory: str, dropped: list[str]) -> None:
    module = getattr(torch_nets, factory)().eval()
    inputs = modules.example({"image": rows()[0]}, SIGNATURE)
    with modules.quiet():
        original, cost = copy.deepcopy(module), modules.macs(module, inputs)
        shapes = modules.shapes(modules.call(module, inputs))
        edits = student.make(module, inputs, width=1.0, depth=0.5, round_to=8)
        assert [edit.container for edit in edits if isinstance(edit, structure.Shortened)] == dropped
        assert modules.macs(module, inputs) < 0.6 * cost
        assert modules.shapes(modules.call(module, inputs)) == shapes
        repeated = structure.repeat(original, edits, inputs)
        for left, right in zip(modules.call(module, inputs), modules.call(repeated, inputs), strict=True):
            assert torch.equal(left, right)


def test_a_model_without_layers_that_repeat_is_said_so() -> None:
    inputs = modules.example({"image": rows()[0]}, SIGNATURE)
    with modules.quiet(), pytest.raises(StepFailed, match="no layers that can be left out"):
        student.make(torch_nets.tiny(), inputs, width=1.0, depth=0.5, round_to=8)


BOTH = Signature(
    inputs=SIGNATURE.inputs,
    outputs=(*SIGNATURE.outputs, Tensor(name="embedding", dtype="float32", shape=("batch", 32))),
)


def lesson(mix: Mix, labels: Any) -> tuple[Lesson, Any]:
    images = rows()[0][:40]
    teacher, pupil = torch_nets.encoder().eval(), torch_nets.encoder().eval()
    with torch.no_grad():
        pupil.head.bias.add_(torch.arange(10.0))
    data = Dataset(inputs={"image": images}, labels=labels, groups=None, where="rows")
    wanted = modules.answers(teacher, data.inputs, BOTH)
    return Lesson(pupil, teacher, wanted, data, BOTH, mix), pupil


def test_every_part_of_the_loss_is_what_it_says() -> None:
    batch = torch.arange(40)
    with modules.quiet(seed=1):
        parts = {}
        for name in ("labels", "soft_targets", "logits"):
            mix = Mix(**{"labels": 0.0, "soft_targets": 0.0, name: 1.0})
            taught, pupil = lesson(mix, rows()[1][:40])
            parts[name] = float(taught(batch).detach())
        found = modules.call(pupil, taught.inputs)[0].detach()
        wanted = torch.from_numpy(modules.answers(torch_nets.encoder(), {"image": rows()[0][:40]}, BOTH)["logits"])
    assert parts["labels"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(found, torch.from_numpy(rows()[1][:40]))), rel=1e-4
    )
    assert parts["logits"] == pytest.approx(float(((found - wanted) ** 2).sum(-1).mean() / 2), rel=1e-4)
    gap = torch.softmax(wanted / 4, -1) * (torch.log_softmax(wanted / 4, -1) - torch.log_softmax(found / 4, -1))
    assert parts["soft_targets"] == pytest.approx(float(16 * gap.sum(-1).mean()), rel=1e-4)


def test_an_embedding_beside_the_logits_is_met_too() -> None:
    with modules.quiet(seed=1):
        taught, pupil = lesson(Mix(labels=0.0, soft_targets=1.0), rows()[1][:40])
        with torch.no_grad():
            pupil.places.add_(torch.randn(8, 32))
            value = float(taught(torch.arange(40)))
            found = modules.call(pupil, taught.inputs)
        wanted = modules.answers(torch_nets.encoder(), {"image": rows()[0][:40]}, BOTH)
    scores = float(losses.soft_targets(found[0].detach(), torch.from_numpy(wanted["logits"])))
    cosine = (found[1].detach().numpy() * wanted["embedding"]).sum(-1).mean()
    assert value == pytest.approx(scores + 1 - cosine, rel=1e-4)
    assert cosine < 0.99


def test_numbers_as_labels_are_a_regression() -> None:
    labels = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    with modules.quiet(seed=1):
        taught, pupil = lesson(Mix(labels=1.0, soft_targets=0.0), labels)
        value = float(taught(torch.arange(40)).detach())
        found = modules.call(pupil, taught.inputs)[0]
    assert not taught.classes
    assert value == pytest.approx(float(((found - torch.from_numpy(labels)) ** 2).mean()), rel=1e-4)


def test_features_are_compared_through_a_projector_that_learns() -> None:
    with modules.quiet(seed=1):
        taught, _ = lesson(Mix(labels=0.0, soft_targets=0.0, features=1.0), rows()[1][:40])
        assert taught.projector is not None
        taught(torch.arange(40)).backward()
        assert taught.projector.weight.grad is not None
        assert all(each.grad is None for each in taught.teacher.parameters())
        taught.close()
        assert not taught.teacher.head._forward_pre_hooks


def test_a_search_that_was_stopped_goes_on_within_a_training(digits: Digits, tmp_path: Path) -> None:
    recipe = Recipe(steps=(step("distill", width=0.5, depth=0.5, round_to=4, epochs=3, learning_rate=5e-3),))
    images, labels = rows()
    data = Dataset({"image": images[:TRAINED_ON]}, labels[:TRAINED_ON], None, "train")
    calibration = Dataset({"image": images[TRAINED_ON:]}, labels[TRAINED_ON:], None, "rest")
    heard: list[Progress] = []

    def listen(progress: Progress, /) -> None:
        if progress.task.startswith("train"):
            heard.append(progress)
            if len(heard) == 1:
                raise KeyboardInterrupt

    workshop = Workshop(
        digits.before, digits.material, Sets(data, calibration, calibration, calibration, "rest"),
        root=tmp_path / "cache", work=tmp_path / "work", report=listen,
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        workshop.make(recipe, 300)
    made = workshop.make(recipe, 300)
    assert [each.done for each in heard] == [1, 2, 3]
    assert made.evidence[0]["counts"]["epochs"] == 3
    assert not list((tmp_path / "cache" / "checkpoints").iterdir())
