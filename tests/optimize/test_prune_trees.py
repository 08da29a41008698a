"""Trees lose what costs more than it gains, forests lose trees; the ONNX file has fewer nodes."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import onnxruntime
import pytest
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tree_models
from cloudmodel.core.errors import NothingChanged, StepFailed, Unsupported
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.optimize.prune.trees import Growth, PruneTrees
from cloudmodel.optimize.technique import Artifact, Material

HERE = Path(tree_models.__file__).parent
SIGNATURE = Signature(
    inputs=(Tensor(name="x", dtype="float32", shape=("batch", 30)),),
    outputs=(
        Tensor(name="label", dtype="int64", shape=("batch",)),
        Tensor(name="probabilities", dtype="float32", shape=("batch", 2)),
    ),
)


def project(folder: Path, factory: str) -> tuple[Artifact, Material]:
    features, labels = tree_models.rows()
    np.savez(folder / "train.npz", x=features[:400], labels=labels[:400])
    kind = [("x", FloatTensorType([None, 30]))]
    model = skl2onnx.to_onnx(
        getattr(tree_models, factory)(), initial_types=kind, target_opset={"": 20, "ai.onnx.ml": 3}
    )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    source = Source(folder=HERE, factory=f"tree_models:{factory}")
    return Artifact(folder / "model.onnx"), Material(signature=SIGNATURE, train=folder / "train.npz", source=source)


@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        ("tree", Growth(ccp_alpha=0.01)),
        ("forest", Growth(ccp_alpha=0.01)),
        ("forest", Growth(ccp_alpha=0.0, trees=0.3)),
        ("boosted", Growth(ccp_alpha=0.0, trees=0.5)),
    ],
)
def test_there_are_fewer_nodes_and_the_answers_stay_good(tmp_path: Path, factory: str, parameters: Growth) -> None:
    before, material = project(tmp_path, factory)
    technique = PruneTrees()
    assert technique.inapplicable(before, material, parameters) is None
    (tmp_path / "out").mkdir()
    after = technique.apply(before, material, parameters, tmp_path / "out")
    counts = technique.prove(before, after).counts
    assert counts["tree_nodes_after"] < 0.7 * counts["tree_nodes_before"]
    assert counts["bytes_after"] < counts["bytes_before"]
    features, labels = tree_models.rows()
    session = onnxruntime.InferenceSession(str(after.model), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["label", "probabilities"]
    found, shares = session.run(None, {"x": features[400:]})
    assert shares.shape == (len(features) - 400, 2)
    assert (found == labels[400:]).mean() > 0.88


def test_a_regressors_file_answers_in_the_same_shape(tmp_path: Path) -> None:
    """One number a row, as packaged: skl2onnx writes [batch, 1], which no gate could compare."""
    before, material = project(tmp_path, "tree")
    features, labels = tree_models.rows()
    joblib.dump(make_pipeline(StandardScaler(), RandomForestRegressor(8).fit(features, labels)), tmp_path / "m.joblib")
    value = SIGNATURE.model_copy(update={"outputs": (Tensor(name="value", dtype="float64", shape=("batch",)),)})
    regression = Material(
        signature=value, train=material.train, source=Source(folder=tmp_path, weights=tmp_path / "m.joblib")
    )
    growth = Growth(ccp_alpha=0.001, trees=0.5)
    assert PruneTrees().inapplicable(before, regression, growth) is None
    (tmp_path / "out").mkdir()
    after = PruneTrees().apply(before, regression, growth, tmp_path / "out")
    session = onnxruntime.InferenceSession(str(after.model), providers=["CPUExecutionProvider"])
    assert session.run(["value"], {"x": features})[0].shape == (len(features),)


def test_what_cannot_be_done_is_said_before_any_work(tmp_path: Path) -> None:
    before, material = project(tmp_path, "tree")
    ask = PruneTrees().inapplicable
    nobody = Material(signature=SIGNATURE, train=material.train)
    untaught = Material(signature=SIGNATURE, source=material.source)
    assert "needs the scikit-learn estimator" in str(ask(before, nobody, Growth()))
    assert "optimize.train" in str(ask(before, untaught, Growth()))
    assert "nothing to do" in str(ask(before, material, Growth(ccp_alpha=0.0)))


def test_a_model_without_trees_is_said_so(tmp_path: Path) -> None:
    before, material = project(tmp_path, "line")
    assert PruneTrees().inapplicable(before, material, Growth()) == "not applicable, the model has no trees"


def test_a_tree_alone_has_no_trees_to_lose(tmp_path: Path) -> None:
    before, material = project(tmp_path, "tree")
    with pytest.raises(StepFailed, match="no trees to leave out"):
        PruneTrees().apply(before, material, Growth(ccp_alpha=0.0, trees=0.5), tmp_path)


def test_a_factory_that_makes_no_estimator_is_refused(tmp_path: Path) -> None:
    before, material = project(tmp_path, "tree")
    wrong = Material(
        signature=SIGNATURE, train=material.train, source=Source(folder=HERE, factory="tree_models:nothing")
    )
    with pytest.raises(Unsupported, match="holds dict"):
        PruneTrees().apply(before, wrong, Growth(), tmp_path)


def test_trees_that_lost_nothing_are_refused(tmp_path: Path) -> None:
    before, _ = project(tmp_path, "tree")
    with pytest.raises(NothingChanged):
        PruneTrees().prove(before, before)
