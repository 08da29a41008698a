"""`cloudmodel destroy`: delete everything a stack holds."""

from __future__ import annotations

from typing import Any

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("destroy", exits=(3, 4, 6, 9, 16))
@options.on_a_stack
@options.yes
@options.diff
@options.refresh
@options.running
def command(context: Context, stack: str | None, engine: str | None, yes: bool, diff: bool, **flags: Any) -> None:
    """Delete every resource of the stack, dependents first. The stack and its settings stay."""
    from cloudmodel.cli import running
    from cloudmodel.deploy.engines import Options

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine)
    asked = Options(**flags)
    planned = running.watched(context, opened, opened.engine.preview_destroy, asked)
    if not context.json:
        running.show_plan("Previewing destroy", planned, tree=diff)
    if planned.changes:
        context.confirm(running.question("Delete everything in", planned), yes=yes)
    outcome = running.watched(context, opened, opened.engine.destroy, asked, planned=planned)
    running.show_result(context, "destroy", outcome)
