"""Trees and forests made smaller: cost-complexity pruning, and fewer trees. Needs the extra `sklearn`, the fitted
estimator (its file, or a factory), and training data where trees are grown again.

Source: Breiman, Friedman, Olshen, Stone 1984, "Classification and Regression Trees", chapter 3.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cloudmodel.core.errors import NothingChanged, StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats import choose, onnx_files, samples
from cloudmodel.formats.extras import missing
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Asked, Job
from cloudmodel.formats.signatures import observed
from cloudmodel.optimize import data
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

ROWS = 8
"""Rows that the exported file is compared on, besides one alone."""


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
        if not _is_estimator(material):
            return "not applicable, needs the scikit-learn estimator: give its file or module:factory as model.source"
        if parameters.ccp_alpha == 0 and parameters.trees == 1:
            return "nothing to do: give ccp_alpha above 0, or trees below 1"
        if parameters.ccp_alpha > 0 and material.train is None:
            return "needs labelled rows to grow the trees again: give optimize.train"
        return missing("sklearn")

    def apply(
        self, before: Artifact, material: Material, parameters: Growth, folder: Path, report: Report = silent
    ) -> Artifact:
        from cloudmodel.formats.export import export
        from cloudmodel.formats.sklearn.original import EstimatorOriginal, open_model

        origin, place = material.source, material.train or material.calibration
        assert origin is not None
        if place is None:
            raise StepFailed("There are no rows to compare the exported file on", hint="give optimize.train")
        report(Progress("prune", 0, 1))
        weights = None if origin.weights is None else origin.folder / origin.weights
        source = origin if origin.factory else None
        opened = open_model(Job(choose.SKLEARN, weights, material.signature.inputs, source))
        rows, estimator = data.read_npz(place, material.signature), opened.estimator
        if parameters.ccp_alpha > 0:
            estimator = _grown(estimator, opened.table(rows.inputs), rows.labels, parameters.ccp_alpha, material.seed)
        if parameters.trees < 1:
            estimator = _fewer(estimator, parameters.trees)
        smaller = EstimatorOriginal(estimator, opened.signature, {})
        counts = (1, min(ROWS, len(rows)))
        requests = [rows.take(range(count)).inputs for count in counts]
        answers = [smaller.answer(request) for request in requests]
        sizes = [{str(samples.batch_symbol(material.signature)): count} for count in counts]
        # As `package` has it: of a regressor's output the ONNX file does not say that it is one number a row.
        shapes = observed(Signature(inputs=material.signature.inputs, outputs=()), answers, sizes)
        asked = Asked(shapes, requests, answers, sizes)
        written = export(smaller.exporters(), asked, folder, where=origin.factory or str(origin.weights))
        return Artifact(Path(written.model))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        """Counts the nodes of the trees in both graphs. Raises NothingChanged where there are no fewer."""
        was, now = _tree_nodes(before.model), _tree_nodes(after.model)
        if now >= was:
            raise NothingChanged(
                f"The trees have {now:,} nodes, no fewer than before ({was:,})", hint="a larger ccp_alpha"
            )
        sizes = {"bytes_before": onnx_files.size_of(before.model), "bytes_after": onnx_files.size_of(after.model)}
        return Evidence(counts={"tree_nodes_before": was, "tree_nodes_after": now, **sizes})


def _is_estimator(material: Material) -> bool:
    origin = material.source
    if origin is None or origin.factory is not None:
        return origin is not None
    return origin.weights is not None and choose.find(origin.folder / origin.weights).format == choose.SKLEARN


def _grown(estimator: Any, table: Any, labels: Any, alpha: float, seed: int) -> Any:
    from sklearn.base import clone

    fresh = clone(estimator)
    last = _last(fresh)
    known = last.get_params()
    if "ccp_alpha" not in known:
        raise StepFailed(
            f"{type(last).__name__} has no cost-complexity pruning", hint="set ccp_alpha to 0 and trees below 1"
        )
    last.set_params(ccp_alpha=alpha)
    if known.get("random_state") is None and "random_state" in known:
        last.set_params(random_state=seed % (1 << 32))
    if labels is None:
        raise StepFailed("The training data have no labels", hint="add an array `labels`, one a row")
    return fresh.fit(table, labels)


def _last(estimator: Any) -> Any:
    """The estimator itself, or a pipeline's last step."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _fewer(estimator: Any, part: float) -> Any:
    """The first trees of a forest are a smaller forest; those of a boosted one, an earlier stop."""
    last = _last(estimator)
    trees = getattr(last, "estimators_", None)
    if trees is None or len(trees) < 2:
        raise StepFailed(f"{type(last).__name__} has no trees to leave out", hint="set trees to 1")
    smaller = copy.copy(last)
    smaller.estimators_ = trees[: max(1, round(len(trees) * part))]
    smaller.n_estimators = len(smaller.estimators_)
    if hasattr(smaller, "n_estimators_"):
        smaller.n_estimators_ = len(smaller.estimators_)
    if last is estimator:
        return smaller
    whole = copy.copy(estimator)
    whole.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], smaller)]
    return whole


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
