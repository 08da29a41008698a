"""`cloudmodel refresh`: write into the state what the cloud holds."""

from __future__ import annotations

from typing import Any

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("refresh", exits=(3, 4, 6, 7, 9, 16))
@options.on_a_stack
@options.yes
@options.diff
@options.expect_no_changes
@options.running
def command(
    context: Context,
    stack: str | None,
    engine: str | None,
    yes: bool,
    diff: bool,
    expect_no_changes: bool,
    **flags: Any,
) -> None:
    """Read every resource from the cloud and write what is found into the stack's state. The cloud is not changed."""
    from cloudmodel.cli import running
    from cloudmodel.deploy.engines import Options

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine)
    context.confirm(f"Write what the cloud holds into the state of stack {opened.name}?", yes=yes)
    outcome = running.watched(
        context, opened, opened.engine.refresh, Options(expect_no_changes=expect_no_changes, **flags)
    )
    if not context.json:
        running.show_plan("Refreshed", outcome, tree=diff)
    running.refuse_changes(outcome, expect_no_changes=expect_no_changes)
    running.show_result(context, "refresh", outcome)
