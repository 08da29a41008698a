"""The same again: from the provenance in a bundle's manifest to the same bytes, or to the first thing that differs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.bundle.manifest import OPTIMIZATION
from cloudmodel.core.errors import BundleChanged, UsageError
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import recipe, sets
from cloudmodel.optimize.cache import versions
from cloudmodel.optimize.optimize import Request
from cloudmodel.optimize.technique import SEED, Artifact, Material
from cloudmodel.optimize.workshop import Workshop

KEY = OPTIMIZATION
"""Where a manifest's metadata hold the provenance."""


def provenance_of(metadata: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The provenance in a manifest's metadata. Raises UsageError where `optimize` did not make the bundle."""
    found = metadata.get(KEY)
    needed = {"recipe", "source_sha256", "model_sha256", "data", "versions"}
    if not isinstance(found, dict) or not needed <= found.keys():
        raise UsageError("This bundle was not made by `optimize`", where=where, hint="cloudmodel optimize")
    return found


def replay(
    provenance: Mapping[str, Any], bundled: Path, request: Request, folder: Path, report: Report = silent
) -> Path:
    """Apply the recipe to the project's model again, into `folder`, without any cache; returns the new model's path.

    `bundled` is the model in the bundle. Raises BundleChanged naming the first difference: the source model, the rows
    that the recipe uses, or in the new model the first weight, node or field; a version that differs is named too.
    """
    model = request.model.resolve()
    if (found := onnx_files.digest_of(model)) != provenance["source_sha256"]:
        raise _differs("the source model", provenance["source_sha256"], found, str(request.model))
    divided = sets.divide(
        request.evaluate, request.folder, request.signature, train=request.train, calibrate=request.calibrate, seed=SEED
    )
    digests = {"calibration": divided.calibration.digest, "train": divided.train.digest if divided.train else None}
    for name, digest in digests.items():
        wanted = provenance["data"].get(name)
        if wanted is not None and wanted != f"sha256:{digest}":
            raise _differs(f"the {name} rows", wanted, f"sha256:{digest}", request.train or request.evaluate)
    material = Material(
        signature=request.signature, source=request.source, metric=request.metric, folder=request.folder, seed=SEED
    )
    with tempfile.TemporaryDirectory(prefix="cloudmodel-replay-") as work:
        original = Artifact(model, request.source.weights if request.source else None)
        workshop = Workshop(original, material, divided, root=folder, work=Path(work), report=report)
        made = workshop.make(recipe.parse(provenance["recipe"], where="the manifest's recipe"), request.budget)
    if made.sha256 != provenance["model_sha256"]:
        what, wanted, found = first_difference(bundled, made.model)
        error = _differs(what, wanted, found, str(bundled))
        raise _with_versions(error, provenance["versions"])
    return made.model


def first_difference(wanted: Path, found: Path) -> tuple[str, str, str]:
    """What differs first between two ONNX files, and what it is in each: a weight by name, a node by name and place, or
    the rest of the file."""
    left, right = onnx_files.load(wanted), onnx_files.load(found)
    pairs = {tensor.name: tensor for tensor in right.graph.initializer}
    for tensor in left.graph.initializer:
        other = pairs.get(tensor.name)
        if other is None:
            return f"weight {tensor.name!r}", f"{list(tensor.dims)}", "missing"
        one, two = (onnx_files.array_of(each) for each in (tensor, other))
        if one.dtype != two.dtype or one.shape != two.shape:
            return f"weight {tensor.name!r}", f"{one.dtype}{list(one.shape)}", f"{two.dtype}{list(two.shape)}"
        if one.tobytes() != two.tobytes():
            place = int((one.ravel() != two.ravel()).argmax())
            return f"weight {tensor.name!r}, element {place}", str(one.ravel()[place]), str(two.ravel()[place])
    for place, node in enumerate(left.graph.node):
        other = right.graph.node[place] if place < len(right.graph.node) else None
        if other is None or other.SerializeToString(deterministic=True) != node.SerializeToString(deterministic=True):
            return f"node {place}, {node.name!r}", node.op_type, other.op_type if other is not None else "missing"
    return "the file around its graph", onnx_files.digest_of(wanted), onnx_files.digest_of(found)


def _differs(what: str, wanted: str, found: str, where: str) -> BundleChanged:
    return BundleChanged(
        f"It cannot be made again: {what} was {wanted} and is {found}",
        where=where,
        hint="check out what the bundle was made from, or run cloudmodel optimize for a new one",
        details={"difference": what, "expected": wanted, "found": found},
    )


def _with_versions(error: BundleChanged, wanted: Mapping[str, str]) -> BundleChanged:
    now = versions()
    others = [
        f"{name} {version} (here {now.get(name, 'none')})"
        for name, version in wanted.items()
        if now.get(name) != version
    ]
    if others:
        error.hint = f"it was made with {', '.join(others)}"
    return error
