"""`cloudmodel preview`: what an update would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("preview", exits=(3, 5, 6, 7, 12, 14, 16))
@options.on_a_stack
@options.planning
@options.expect_no_changes
@click.option("--save-plan", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Seal the plan.")
@click.option("--offline", is_flag=True, help="Plan without credentials, against the local AWS.")
def command(
    context: Context,
    stack: str | None,
    engine: str | None,
    diff: bool,
    expect_no_changes: bool,
    save_plan: Path | None,
    offline: bool,
    **flags: Any,
) -> None:
    """Show what `up` would do. Changes nothing: neither the cloud nor the stack's state."""
    from cloudmodel.cli import plan, running
    from cloudmodel.cli.output import emit
    from cloudmodel.deploy.engines import Options

    opened = context.open(stack, engine=engine, offline=offline)
    outcome = running.watched(context, opened, opened.engine.preview, Options(**flags))
    if not context.json:
        running.show_plan("Previewing update", outcome, tree=diff)
    running.refuse_changes(outcome, expect_no_changes=expect_no_changes)
    if save_plan is not None:
        from cloudmodel.deploy.sealed import save

        save(save_plan, outcome)
    if context.json:
        emit("preview", plan.as_json(outcome))
