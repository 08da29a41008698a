"""Trees and forests made smaller: cost-complexity pruning, and fewer trees. Needs the extra `sklearn`, the fitted
estimator from a factory, and training data where trees are grown again.

Source: Breiman, Friedman, Olshen, Stone 1984, "Classification and Regression Trees", chapter 3.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cloudmodel.core.errors import NothingChanged, ProjectInvalid, StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.formats.extras import missing
from cloudmodel.formats.factory import function
from cloudmodel.optimize import data
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

OPSET = {"": 20, "ai.onnx.ml": 3}
IR_VERSION = 10


class Growth(Parameters):
    """`ccp_alpha` is what a leaf costs: subtrees that gain less are cut (scikit-learn's parameter of that name), after
    the estimator was fitted again with its own random state. `trees` is the part of a forest's first trees that stays.
    """

    ccp_alpha: Annotated[float, Field(ge=0)] = 0.001
    trees: Annotated[float, Field(gt=0, le=1)] = 1.0


class PruneTrees:
    """scikit-learn's trees, forests and boosted trees; exported by skl2onnx."""

    name: ClassVar[str] = "prune-trees"
    family: ClassVar[Family] = "prune"
    parameters: ClassVar[type[Parameters]] = Growth

    def inapplicable(self, before: Artifact, material: Material, parameters: Growth) -> str | None:
        if _tree_nodes(before.model) == 0:
            return "not applicable, the model has no trees"
        if material.source is None or material.source.factory is None:
            return "not applicable, needs the scikit-learn estimator: give model.source as module:factory"
        if parameters.ccp_alpha == 0 and parameters.trees == 1:
            return "nothing to do: give ccp_alpha above 0, or trees below 1"
        if parameters.ccp_alpha > 0 and material.train is None:
            return "needs labelled rows to grow the trees again: give optimize.train"
        return missing("sklearn")

    def apply(
        self, before: Artifact, material: Material, parameters: Growth, folder: Path, report: Report = silent
    ) -> Artifact:
        import onnx
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType

        assert material.source is not None
        report(Progress("prune", 0, 1))
        estimator = _estimator(material.source.factory or "", material.source.folder)
        if parameters.ccp_alpha > 0:
            estimator = _grown(estimator, material, parameters.ccp_alpha)
        if parameters.trees < 1:
            estimator = _fewer(estimator, parameters.trees)
        (tensor,) = material.signature.inputs[:1]
        kind = [(tensor.name, FloatTensorType([None, *tensor.shape[1:]]))]
        options = {"zipmap": False} if hasattr(estimator, "classes_") else None
        model = skl2onnx.to_onnx(estimator, initial_types=kind, options=options, target_opset=OPSET)
        model.ir_version = IR_VERSION
        names = {old.name: new.name for old, new in zip(model.graph.output, material.signature.outputs, strict=True)}
        _rename(model, names)
        onnx.checker.check_model(model)
        return Artifact(onnx_files.save(model, folder))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        """Counts the nodes of the trees in both graphs. Raises NothingChanged where there are no fewer."""
        was, now = _tree_nodes(before.model), _tree_nodes(after.model)
        if now >= was:
            raise NothingChanged(
                f"The trees have {now:,} nodes, no fewer than before ({was:,})", hint="a larger ccp_alpha"
            )
        sizes = {"bytes_before": onnx_files.size_of(before.model), "bytes_after": onnx_files.size_of(after.model)}
        return Evidence(counts={"tree_nodes_before": was, "tree_nodes_after": now, **sizes})


def _estimator(factory: str, folder: Path) -> Any:
    from sklearn.base import BaseEstimator

    try:
        estimator = function(factory, folder)()
    except ProjectInvalid:
        raise
    except Exception as error:
        raise ProjectInvalid(f"The factory failed: {type(error).__name__}: {error}", where=factory) from error
    if not isinstance(estimator, BaseEstimator):
        raise ProjectInvalid(
            f"The factory returned {type(estimator).__name__}",
            where=factory,
            hint="return a fitted scikit-learn estimator",
        )
    return estimator


def _grown(estimator: Any, material: Material, alpha: float) -> Any:
    from sklearn.base import clone

    fresh = clone(estimator)
    known = fresh.get_params()
    if "ccp_alpha" not in known:
        raise StepFailed(
            f"{type(estimator).__name__} has no cost-complexity pruning", hint="set ccp_alpha to 0 and trees below 1"
        )
    fresh.set_params(ccp_alpha=alpha)
    if known.get("random_state") is None and "random_state" in known:
        fresh.set_params(random_state=material.seed % (1 << 32))
    assert material.train is not None
    rows = data.read_npz(material.train, material.signature)
    return fresh.fit(next(iter(rows.inputs.values())), rows.labels)


def _fewer(estimator: Any, part: float) -> Any:
    """The first trees of a forest are a smaller forest; those of a boosted one, an earlier stop."""
    trees = getattr(estimator, "estimators_", None)
    if trees is None or len(trees) < 2:
        raise StepFailed(f"{type(estimator).__name__} has no trees to leave out", hint="set trees to 1")
    smaller = copy.copy(estimator)
    smaller.estimators_ = trees[: max(1, round(len(trees) * part))]
    smaller.n_estimators = len(smaller.estimators_)
    if hasattr(smaller, "n_estimators_"):
        smaller.n_estimators_ = len(smaller.estimators_)
    return smaller


def _tree_nodes(path: Path) -> int:
    """Nodes of all trees in an ONNX file; the weights beside it are not read."""
    import onnx

    model: Any = onnx.load(str(path), load_external_data=False)
    return sum(
        len(attribute.ints)
        for node in onnx_files.nodes(model.graph)
        for attribute in node.attribute
        if node.op_type.startswith("TreeEnsemble") and attribute.name == "nodes_nodeids"
    )


def _rename(model: Any, names: dict[str, str]) -> None:
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    for value in model.graph.output:
        value.name = names[value.name]
