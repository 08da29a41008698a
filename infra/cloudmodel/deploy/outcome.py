"""What a verb of an engine answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudmodel.deploy.binding import Binding
from cloudmodel.engine.step import Op, Step

COUNTED = {
    Op.CREATE: "create",
    Op.UPDATE: "update",
    Op.DELETE: "delete",
    Op.REPLACE: "replace",
    Op.SAME: "same",
    Op.IMPORT: "import",
    Op.READ: "read",
    Op.REFRESH: "refresh",
}


@dataclass(frozen=True)
class Outcome:
    """The plan of a preview, or what an up, refresh or destroy did.

    `steps` are in canonical order (topological, ties by URN) and hold the `same` ones too. `outputs` are the stack's,
    secrets masked unless they were asked for. `binding` is what a preview was made from. `account` is None where
    no credentials were used. `calls` are the calls by which a rollback changed AWS, in their order.
    """

    stack: str
    target: str
    engine: str
    region: str
    account: str | None = None
    steps: tuple[Step, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    duration_s: float | None = None
    binding: Binding | None = None
    calls: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, int]:
        """Counts of create, update, replace, delete and same, plus others that occur; like Pulumi's, with the stack
        and without the providers that the engine adds by itself."""
        counts = dict.fromkeys(("create", "update", "replace", "delete", "same"), 0)
        for step in self.steps:
            name = COUNTED.get(step.op)
            if name and not default_provider(step):
                counts[name] = counts.get(name, 0) + 1
        return counts

    @property
    def changes(self) -> bool:
        """True when anything but `same` and `read` was planned or done."""
        return any(step.op not in (Op.SAME, Op.READ) for step in self.steps)


def default_provider(step: Step) -> bool:
    """Whether a step is about a provider that the engine added by itself."""
    return step.type.startswith("pulumi:providers:") and step.name.startswith("default")
