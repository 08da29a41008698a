"""What a bundle must have proved before anything is planned with it.

The digest that names a bundle proves that these are the bytes that were pinned (the bundle store compares them), not
that they are fit to be served: somebody may pin a bundle that another project, or a laxer one, made. So each plan holds
the manifest against what the project demands today.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from cloudmodel.bundle import signing
from cloudmodel.bundle.manifest import TRUSTED, Manifest
from cloudmodel.bundle.store import BundleStore
from cloudmodel.core.errors import GateNotMet, UnsafeModel
from cloudmodel.settings.model import Project, StackSettings

OPTIMIZATION = "optimization"
"""Where a manifest's metadata hold what `optimize` proved."""
MET = "met"
"""What a gate that was met says of itself."""
PIN = "and pin the digest it prints: cloudmodel:bundle in Pulumi.<stack>.yaml"


def require_signed(project: Project, settings: StackSettings, store: BundleStore, digest: str) -> None:
    """Raises UnsafeModel for a bundle that is unsigned, changed, or signed by another key than `cloudmodel:signed`
    demands, UsageError for a key that is none. Every file is held against the signed manifest: a pin proves only that
    the archive is the one that somebody pinned."""
    key = settings.signed
    if not isinstance(key, str):
        return
    where = f"{settings.path.name}: cloudmodel:signed"
    pem = key.encode() if key.lstrip().startswith(signing.PEM) else signing.read_key(project.folder / key)
    signing.public_key(pem, where=where)
    signing.verified(store.get(digest), store.signature(digest), pem, where=digest)


def require(project: Project, digest: str, manifest: Manifest) -> None:
    """Raises UnsafeModel where the scan of the bundle was not clean and nobody took it on, GateNotMet where it failed
    parity, or where `optimize` made it and its gate was not met or is laxer than what the project's `evaluate` and
    `optimize` demand."""
    if manifest.scan.verdict != "clean" and not manifest.metadata.get(TRUSTED):
        findings = [f"{each.rule} in {each.location}" for each in manifest.scan.findings[:3]]
        raise UnsafeModel(
            f"the scan of the model found it {manifest.scan.verdict}" + "".join(f"; {each}" for each in findings),
            where=f"bundle {digest}",
            hint="do not deploy it; find out where the model comes from (cloudmodel scan PATH)",
        )
    if not manifest.parity.passed:
        raise GateNotMet(
            f"the bundle does not answer as the original model does: worst error {manifest.parity.max_abs_error:.3g} "
            f"on {manifest.parity.samples} samples",
            where=f"bundle {digest}",
            hint=f"cloudmodel package, {PIN}",
        )
    unmet = list(_unmet(project, manifest.metadata.get(OPTIMIZATION)))
    if unmet:
        raise GateNotMet(
            "the optimized model is not proved to be what the project demands: " + "; ".join(unmet),
            where=f"bundle {digest}",
            hint=f"cloudmodel optimize, {PIN}",
        )


def _unmet(project: Project, optimization: Any) -> Iterator[str]:
    """Why the gate of an optimized bundle does not count; nothing where none is needed or it does."""
    if optimization is None:
        return
    gate = optimization.get("gate") if isinstance(optimization, dict) else None
    if not isinstance(gate, dict):
        yield "its manifest holds no gate"
        return
    if gate.get("verdict") != MET:
        yield f"its gate says {gate.get('verdict')!r}"
    if project.evaluate is None:
        return
    if gate.get("metric") != project.evaluate.metric:
        yield f"it was judged by {gate.get('metric')!r}, not by {project.evaluate.metric}"
    # A comparison with NaN is false, so each is put the way that only a real number can pass.
    demands = project.optimize
    for name, demand, met in (
        ("max_drop", demands.max_drop, operator.le),
        ("confidence", demands.confidence, operator.ge),
        ("min_fidelity", demands.min_fidelity, operator.ge),
    ):
        found = gate.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not met(found, demand):
            yield f"its {name} is {found!r}, the project's {demand:g}"
