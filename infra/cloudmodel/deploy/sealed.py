"""A plan in a file, bound to everything it was made from.

The file holds operations, the names of the properties that change and a digest of what they are set to, never a value:
it may be shown and stored, and needs no encryption. `up --plan` refuses it before the first call when anything that it
was made from has changed since (I11), when the program asks for other steps or values now, when it is too old, or when
the file itself was edited or damaged (its `seal` is a sha256, no signature: it does not say who made the plan).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import StalePlan
from cloudmodel.core.files import write_text
from cloudmodel.deploy.binding import Binding
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.run import Plan, plan_of
from cloudmodel.engine.step import Op

SCHEMA = "cloudmodel.plan/2"
LARGEST = 64 << 20
LIFETIME = timedelta(hours=72)
"""A plan made before a weekend can be applied after it. What it is bound to does not say how the cloud itself moved."""
MAKES_ONE = "cloudmodel preview --save-plan FILE makes one"
NAMED = 5


@dataclass(frozen=True)
class SealedPlan:
    """What may be done, what that was decided from, and until when."""

    file: Path
    binding: Binding
    steps: Plan
    expires: datetime

    def require(self, current: Binding) -> None:
        """Raise StalePlan, naming what changed, unless the plan is still in time and `current` is its binding."""
        self.binding.require(current, where=str(self.file))
        if datetime.now(UTC) >= self.expires:
            raise StalePlan(
                f"the plan is stale: it expired at {self.expires.isoformat(timespec='seconds')}",
                where=str(self.file),
                hint=_again(self),
            )

    def require_steps(self, now: Plan) -> None:
        """Raise StalePlan, naming the resources, unless a preview finds the same steps and values `now`."""
        differing = self.steps.differing(now)
        if differing:
            more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
            names = ", ".join(urn.rsplit("::", 1)[-1] for urn in differing[:NAMED])
            raise StalePlan(
                f"the plan is stale: the program asks for something else now about {names}{more}",
                where=str(self.file),
                hint=_again(self),
                details={"differing": list(differing)},
            )


def save(path: Path, outcome: Outcome) -> None:
    """Write the plan of a preview to `path`."""
    assert outcome.binding is not None, "only a preview can be sealed"
    plan = plan_of(outcome.steps)
    document = {
        "schema": SCHEMA,
        "binding": asdict(outcome.binding),
        "ops": plan.ops,
        "paths": plan.paths,
        "values": plan.values,
        "expires": (datetime.now(UTC) + LIFETIME).isoformat(timespec="seconds"),
    }
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
        values = {str(urn): str(digest) for urn, digest in document["values"].items()}
        expires = datetime.fromisoformat(document["expires"]).astimezone(UTC)
        return SealedPlan(path, Binding(**document["binding"]), Plan(ops, paths, values), expires)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise StalePlan(
            f"the file holds no plan that can be applied: {error}", where=str(path), hint=MAKES_ONE
        ) from None


def opened(path: Path, current: Binding) -> SealedPlan:
    """The plan in a file. Raises StalePlan unless `current` is what it was made from."""
    plan = load(path)
    plan.require(current)
    return plan


def _seal(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _again(plan: SealedPlan) -> str:
    return f"cloudmodel preview --stack {plan.binding.stack} --save-plan {plan.file}"
