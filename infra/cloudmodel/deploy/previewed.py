"""What a preview found, for the run that follows it in the same command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloudmodel.deploy.binding import Binding, sources
from cloudmodel.engine import run as engine
from cloudmodel.engine.normal import fingerprint
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Op


@dataclass(frozen=True)
class Previewed:
    """The plan, and what it was made from. `stands` is the preview's own result where a run has nothing to do, and to
    evaluate the program once more would only take as long again."""

    binding: Binding
    plan: engine.Plan
    warnings: tuple[str, ...]
    stands: engine.Result | None


def stands(result: engine.Result, state: State, folder: Path) -> bool:
    """Whether the preview `result` of the program in `folder` leaves `state` as it is, outputs too, and a run would.

    A program that asks whether it is in a preview may do something else in a run.
    """
    return (
        not state.pending
        and all(step.op is Op.SAME for step in result.steps)
        and fingerprint(result.state) == fingerprint(state)
        and not any(b"is_dry_run" in path.read_bytes() for path in sources(folder))
    )
