"""Which engine carries a stack out: its target decides, or the user by name."""

from __future__ import annotations

from cloudmodel.core.errors import Unsupported
from cloudmodel.deploy.engines import EMBEDDED, OFFICIAL, Engine
from cloudmodel.settings.model import Project, StackSettings


def open_engine(
    project: Project, settings: StackSettings, stack: str, *, engine: str | None = None, offline: bool = False
) -> Engine:
    """The engine for `stack`; `offline` plans a stack of any target on the embedded one, without credentials.

    Raises Unsupported for an engine that cannot carry the target out, UsageError where the official engine's command
    line is missing or too old.
    """
    chosen = engine or (EMBEDDED if settings.target == "local" or offline else OFFICIAL)
    if chosen == OFFICIAL:
        if offline and settings.target != "local":
            raise Unsupported(
                "only the embedded engine plans without credentials",
                where=f"stack {stack}, target {settings.target}",
                hint=f"cloudmodel preview --stack {stack} --offline",
            )
        from cloudmodel.deploy.official.engine import OfficialEngine

        return OfficialEngine(project, settings, stack)
    if settings.target != "local" and not offline:
        raise Unsupported(
            "the embedded engine deploys to the local AWS only",
            where=f"stack {stack}, target {settings.target}",
            hint=f"leave --engine out, or plan with: cloudmodel preview --stack {stack} --offline",
        )
    from cloudmodel.deploy.embedded import EmbeddedEngine

    return EmbeddedEngine(project, settings, stack)
