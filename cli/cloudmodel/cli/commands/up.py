"""`cloudmodel up`: make the cloud what the project and the stack describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("up", exits=(3, 4, 5, 6, 7, 9, 10, 12, 14, 16, 17))
@options.on_a_stack
@options.yes
@options.planning
@options.expect_no_changes
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Apply exactly this sealed plan.",
)  # fmt: skip
def command(
    context: Context,
    stack: str | None,
    engine: str | None,
    yes: bool,
    diff: bool,
    expect_no_changes: bool,
    **flags: Any,
) -> None:
    """Show the plan, ask, and apply it. Without a terminal it needs --yes."""
    from cloudmodel.cli import running
    from cloudmodel.deploy.engines import Options

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine)
    asked = Options(expect_no_changes=expect_no_changes, **flags)
    # The engine would refuse unexpected changes too; here they are shown first.
    planned = running.watched(context, opened, opened.engine.preview, Options(**flags))
    if not context.json:
        running.show_plan("Previewing update", planned, tree=diff)
    running.refuse_changes(planned, expect_no_changes=expect_no_changes)
    if planned.changes:
        context.confirm(running.question("Update", planned), yes=yes)
    outcome = running.watched(context, opened, opened.engine.up, asked, planned=planned)
    running.show_result(context, "up", outcome)
