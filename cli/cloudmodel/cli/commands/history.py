"""`cloudmodel history`: what was done to a stack, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

if TYPE_CHECKING:
    from cloudmodel.deploy.engines import Update

COLUMNS: Mapping[str, Callable[[Update], str]] = {
    "VERSION": lambda update: str(update.version),
    "KIND": lambda update: update.kind,
    "RESULT": lambda update: update.result,
    "STARTED": lambda update: update.started,
    "ENDED": lambda update: update.ended,
    "CHANGES": lambda update: ", ".join(f"{count} {kind}" for kind, count in sorted(update.summary.items()) if count),
    "MESSAGE": lambda update: update.message.partition("\n")[0],
    "REVISION": lambda update: update.revision,
    "BUNDLE": lambda update: update.bundle.removeprefix("sha256:")[:12],
    "BY": lambda update: update.environment.get("actor") or update.environment.get("user", ""),
    "COMMIT": lambda update: update.environment.get("git.commit", "")[:12],
    "PIPELINE": lambda update: update.environment.get("ci", ""),
}
ALWAYS = ("VERSION", "KIND", "RESULT", "STARTED", "ENDED", "CHANGES", "MESSAGE")
"""What is shown also where no update has it."""


@options.verb("history", exits=(6,))
@options.on_a_stack
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
def command(context: Context, stack: str | None, engine: str | None, limit: int | None) -> None:
    """Show the stack's updates, newest first: what stood afterwards, who did it, from which commit and pipeline."""
    from cloudmodel.cli.output import emit, say, table

    opened = context.open(stack, engine=engine, anywhere=True)
    updates = sorted(opened.engine.history(), key=lambda update: update.version, reverse=True)[:limit]
    if context.json:
        emit("history", {"stack": opened.name, "updates": [asdict(update) for update in updates]})
        return
    told = {head: [tell(update) for update in updates] for head, tell in COLUMNS.items()}
    columns = {head: cells for head, cells in told.items() if any(cells) or head in ALWAYS}
    say(table(tuple(columns), zip(*columns.values(), strict=True)))
