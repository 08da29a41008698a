"""Which engine carries a stack out: its target decides, or the user by name."""

from __future__ import annotations

from cloudmodel.core.errors import Unsupported
from cloudmodel.deploy.engines import EMBEDDED, OFFICIAL, Engine
from cloudmodel.settings.model import Project, StackSettings


def open_engine(
    project: Project, settings: StackSettings, stack: str, *, engine: str | None = None, offline: bool = False
) -> Engine:
    """The engine for `stack`; `offline` plans a stack of any target on the embedded one, without credentials.

    Raises Unsupported for an engine that cannot carry the target out.
    """
    chosen = engine or (EMBEDDED if settings.target == "local" or offline else OFFICIAL)
    if chosen != EMBEDDED:
        raise Unsupported(
            "this version deploys with the embedded engine to the local AWS only; the official engine is not in it yet",
            where=f"stack {stack}, target {settings.target}",
            hint="leave --engine out"
            if settings.target == "local"
            else f"cloudmodel preview --stack {stack} --offline plans it without an account",
        )
    if settings.target != "local" and not offline:
        raise Unsupported(
            "the embedded engine deploys to the local AWS only",
            where=f"stack {stack}, target {settings.target}",
            hint=f"leave --engine out, or plan with: cloudmodel preview --stack {stack} --offline",
        )
    from cloudmodel.deploy.embedded import EmbeddedEngine

    return EmbeddedEngine(project, settings, stack)
