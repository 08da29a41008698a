"""A plan in a file, bound to everything it was made from.

The file holds operations and the names of the properties that change, never a value: it may be shown and stored.
`up --plan` refuses it before the first call when anything that it was made from has changed since (I11), or when the
file itself was edited or damaged (its `seal` is a sha256, no signature: it does not say who made the plan).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import StalePlan
from cloudmodel.core.files import write_text
from cloudmodel.deploy.binding import Binding
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.run import Plan, plan_of
from cloudmodel.engine.step import Op

SCHEMA = "cloudmodel.plan/1"
LARGEST = 64 << 20


@dataclass(frozen=True)
class SealedPlan:
    """What may be done, and what that was decided from."""

    binding: Binding
    steps: Plan


def save(path: Path, outcome: Outcome) -> None:
    """Write the plan of a preview to `path`."""
    assert outcome.binding is not None, "only a preview can be sealed"
    plan = plan_of(outcome.steps)
    document = {"schema": SCHEMA, "binding": asdict(outcome.binding), "ops": plan.ops, "paths": plan.paths}
    sealed = {**document, "seal": _seal(document)}
    write_text(path, json.dumps(sealed, indent=2, sort_keys=True) + "\n", mode=0o600)


def load(path: Path) -> SealedPlan:
    """Read a plan that `save` wrote. Raises StalePlan for a file that is none or was cut short."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        document = json.loads(path.read_bytes())
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA}")
        if document.pop("seal") != _seal(document):
            raise ValueError("it was changed after it was made")
        ops = {str(urn): tuple(Op(op) for op in found) for urn, found in document["ops"].items()}
        paths = {str(urn): tuple(str(each) for each in found) for urn, found in document["paths"].items()}
        return SealedPlan(Binding(**document["binding"]), Plan(ops, paths))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StalePlan(
            f"the file holds no plan that can be applied: {error}",
            where=str(path),
            hint="cloudmodel preview --save-plan FILE makes one",
        ) from None


def _seal(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
