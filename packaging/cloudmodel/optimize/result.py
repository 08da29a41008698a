"""What `optimize` found, as the JSON that others read and as the provenance that a bundle carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudmodel.optimize import machine
from cloudmodel.optimize.metrics import Metric
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.trials import Found, Trial, Wish, front_of


def document(
    found: Found, metric: Metric, sets: Sets, wish: Wish, size: int, not_tried: Sequence[str]
) -> dict[str, Any]:
    """The document `cloudmodel.optimize/1`, without `bundle` and `report`.

    `baseline.metric` is of the final set; a trial's numbers are of the set that `data` names: the selection set, the
    final set for the one trial that was held to it. `metric_delta` is trial - original; `latency_ratio` is original /
    trial, above 1 is faster.
    """
    measured = found.measured
    assert measured is not None
    return {
        "metric": metric.name,
        "objective": wish.objective,
        "demand": vars(wish.demand),
        "baseline": {"metric": found.metric, "size_bytes": size, "latency_ms": measured.latency_ms},
        "trials": [_trial(trial) for trial in found.trials],
        "first_accepted": _early(found),
        "front": front_of(found, metric),
        "chosen": found.chosen.id if found.chosen else None,
        "reason": found.reason,
        "verdict": str(found.verdict) if found.verdict else None,
        "needed_rows": found.needed,
        "noise_floor": {"low": measured.floor.low, "high": measured.floor.high},
        "void": measured.void,
        "conditions": dict(measured.conditions),
        "machine": machine.cpu(),
        "sets": {
            "train": len(sets.train) if sets.train is not None else 0,
            "calibration": len(sets.calibration),
            "selection": len(sets.selection),
            "final": len(sets.final),
            "calibrated_from": sets.calibrated_from,
        },
        "profile": found.profile[:20],
        "sensitivity": found.sensitivity,
        "not_tried": list(not_tried),
    }


def _early(found: Found) -> dict[str, Any] | None:
    early = found.early
    if early is None:
        return None
    floor = {"low": early.floor.low, "high": early.floor.high}
    return {"id": early.id, "after_s": early.after, "latency_ratio": early.ratio.as_json(), "noise_floor": floor}


def _trial(trial: Trial) -> dict[str, Any]:
    judged = trial.final or trial.judged
    return {
        "id": trial.id,
        "recipe": trial.recipe.as_json(),
        "title": trial.recipe.title,
        "data": ("final" if trial.final else "selection") if judged else None,
        "metric": judged.metric if judged else None,
        "metric_delta": judged.delta.as_json() if judged else None,
        "fidelity": judged.fidelity if judged else None,
        "fidelities": judged.fidelities if judged else None,
        "losses": judged.losses if judged else None,
        "gains": judged.gains if judged else None,
        "churn": judged.churn if judged else None,
        "worst_class": judged.worst_class if judged else None,
        "size_bytes": trial.made.size_bytes if trial.made else None,
        "sha256": trial.made.sha256 if trial.made else None,
        "evidence": list(trial.made.evidence) if trial.made else [],
        "latency_ratio": trial.ratio.as_json() if trial.ratio else None,
        "claim": trial.claim,
        "accepted": trial.accepted,
        "reason": trial.reason,
    }


def provenance(
    found: Found, source: str, digests: Mapping[str, str | None], sets: Sets, wish: Wish, versions: Mapping[str, str]
) -> dict[str, Any]:
    """What a bundle's manifest says of its optimization: everything that replaying needs, and what was proven.

    `source_sha256` is the original model's, `model_sha256` what the recipe makes of it.
    """
    trial = found.chosen
    assert trial is not None
    assert trial.made is not None
    assert trial.final is not None
    assert trial.ratio is not None
    assert found.measured is not None
    judged = trial.final
    return {
        "recipe": trial.recipe.as_json(),
        "source_sha256": source,
        "model_sha256": trial.made.sha256,
        "data": {name: f"sha256:{digest}" for name, digest in digests.items() if digest is not None},
        "versions": dict(versions),
        "evidence": list(trial.made.evidence),
        "gate": {
            "metric": wish.metric,
            "value": judged.metric,
            "original": found.metric,
            "delta": judged.delta.as_json(),
            "rows": judged.rows,
            "max_drop": wish.demand.max_drop,
            "confidence": wish.demand.confidence,
            "fidelity": judged.fidelity,
            "min_fidelity": wish.demand.min_fidelity,
            "verdict": str(judged.verdict),
        },
        "latency": {
            "objective": wish.objective,
            "ratio": trial.ratio.as_json(),
            "noise_floor": {"low": found.measured.floor.low, "high": found.measured.floor.high},
            "machine": machine.cpu(),
        },
    }
