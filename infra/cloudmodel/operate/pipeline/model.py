"""What a comment tells of the model: its difference, what was proven of it, and what to pin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudmodel.core.errors import GateNotMet
from cloudmodel.core.naming import DIGEST
from cloudmodel.operate.pipeline.documents import Difference, Failed, Interval, Packaged, Plan, Proof, Said, Search, of
from cloudmodel.operate.pipeline.markdown import PART, block, code

MAKERS = ("package", "optimize")
"""The commands that make a bundle."""


def difference(found: Difference) -> Iterator[str]:
    yield f"- bundle {code(found.before.digest or 'unpacked')} → {code(found.after.digest or 'unpacked')}"
    yield f"- size {_sizes(found.before.size_bytes, found.after.size_bytes)}"
    yield f"- callers: {'**breaking**' if found.breaking else 'compatible'}"
    if found.before.signed != found.after.signed:
        yield f"- {'signed now' if found.after.signed else '**not signed any more**'}"
    for each in found.signature:
        mark = "**breaking**" if each.breaking else "compatible"
        what = f"{code(each.side)} {code(each.name)} {code(each.change)}" if each.name else code(each.change)
        yield f"    - {what}: {code(_short(each.before))} → {code(_short(each.after))} ({mark})"
    if found.precision:
        yield f"- precision {_shares(found.precision.before)} → {_shares(found.precision.after)}"
    for label, proof in (("before", found.optimization.before), ("after", found.optimization.after)):
        if proof:
            yield f"- proven {label}: {_proof(proof)}"
    for key, pair in found.facts.items():
        yield f"- {code(key)}: {code(_short(pair.before))} → {code(_short(pair.after))}"
    for title, names in (("files", found.files), ("versions", found.versions)):
        told = [
            f"{kind} {', '.join(map(code, listed[:20]))}{' …' if len(listed) > 20 else ''}"
            for kind, listed in (("added", names.added), ("removed", names.removed), ("changed", names.changed))
            if listed
        ]
        yield f"- {title}: {'; '.join(told) or 'the same'}"


def _proof(proof: Proof) -> str:
    """The numbers of a bundle against its own original."""
    return (
        f"{code(proof.metric)} {proof.value:.4f}, change {_interval(proof.delta, '+.4f')}"
        f"{_fidelity(proof.fidelity, proof.rows, proof.confidence)}, "
        f"{_interval(proof.latency_ratio, '.3g')} times as fast"
    )


def _fidelity(worst: float | None, rows: object, confidence: float | None) -> str:
    """The worst cosine that was seen, and the interval of the share of all rows that are worse. Of `rows` none was: its
    upper bound is 1 - (1 - confidence)^(1 / rows), exactly (Clopper and Pearson)."""
    if worst is None:
        return ""
    told = f", fidelity {worst:.4f}"
    if not isinstance(rows, int) or rows < 1 or confidence is None or not 0 < confidence < 1:
        return told
    return f"{told} (share of rows below it 0.00 % [0.00, {100 * (1 - (1 - confidence) ** (1 / rows)):.2f}])"


def search(found: Search) -> Iterator[str]:
    yield f"- {code(found.reason)}"
    for trial in found.trials:
        if trial.id == found.chosen and trial.latency_ratio and trial.metric_delta and trial.size_bytes is not None:
            confidence = found.demand.confidence if found.demand else None
            fidelity = _fidelity(trial.fidelity, found.sets.get(trial.data or ""), confidence)
            yield (
                f"- {code(trial.title)}: {_interval(trial.latency_ratio, '.3g')} times as fast, {code(found.metric)} "
                f"{_interval(trial.metric_delta, '+.4f')}{fidelity}, "
                f"size {_sizes(found.baseline.size_bytes, trial.size_bytes)}"
            )


def proposal(stack: str, said: Sequence[Said], plans: Sequence[Plan]) -> str:
    """What to commit so that the model of this change is deployed, where something else is pinned; nothing where the
    work on the model broke off, which leaves a bundle that no artifact carries. A gate that was not met breaks nothing
    off."""
    failed = [each.document for each in said if isinstance(each.document, Failed) and each.name in MAKERS]
    if any(each.code != GateNotMet.code for each in failed):
        return ""
    made = [each.bundle for each in of(said, Search)] + [each.digest for each in of(said, Packaged)]
    digest = next((each for each in made if each and DIGEST.fullmatch(each)), None)
    if digest is None or any(digest in _served(plan.outputs) for plan in plans):
        return ""
    line = block([f"cloudmodel:bundle: {digest}"], PART, "yaml")
    told = f"This model is not what the stack pins. To deploy it, write into {code(f'Pulumi.{stack}.yaml')}:\n\n{line}"
    if any(not each.bundle.endswith(".tar.gz") for each in of(said, Packaged)):
        told += (
            "\n\nIt is a large bundle, which no artifact carries: put it into the store from a machine that may write "
            f"there, {code(f'cloudmodel package --push {digest}')}."
        )
    return told


def _served(outputs: Mapping[str, Any]) -> set[str]:
    """The bundles that a stack's outputs name: the first variant's, and all where it lists several."""
    listed = outputs.get("variants")
    variants = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {str(each.get("bundle_digest")) for each in (outputs, *variants)}


def _interval(found: Interval, form: str) -> str:
    return f"{found.mid:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _sizes(before: int, after: int) -> str:
    share = f" ({100 * (after - before) / before:+.1f} %)" if before and before != after else ""
    return f"{before:,} → {after:,} bytes{share}"


def _shares(found: Mapping[str, float] | None) -> str:
    if not found:
        return "unknown"
    ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{code(name)} {100 * share:.1f} %" for name, share in ordered[:8])


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
