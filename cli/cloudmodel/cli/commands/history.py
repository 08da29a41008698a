"""`cloudmodel history`: what was done to a stack, and how it ended."""

from __future__ import annotations

from dataclasses import asdict

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("history", exits=(6,))
@options.on_a_stack
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
def command(context: Context, stack: str | None, engine: str | None, limit: int | None) -> None:
    """Show the stack's updates, newest first."""
    from cloudmodel.cli.output import emit, say, table

    opened = context.open(stack, engine=engine, anywhere=True)
    updates = sorted(opened.engine.history(), key=lambda update: update.version, reverse=True)[:limit]
    if context.json:
        emit("history", {"stack": opened.name, "updates": [asdict(update) for update in updates]})
        return
    say(
        table(
            ("VERSION", "KIND", "RESULT", "STARTED", "ENDED", "CHANGES", "MESSAGE"),
            [
                (
                    str(update.version),
                    update.kind,
                    update.result,
                    update.started,
                    update.ended,
                    ", ".join(f"{count} {kind}" for kind, count in sorted(update.summary.items()) if count),
                    update.message.partition("\n")[0],
                )
                for update in updates
            ],
        )
    )
