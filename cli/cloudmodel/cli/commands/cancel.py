"""`cloudmodel cancel`: end another run's hold on a stack."""

from __future__ import annotations

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("cancel", exits=(6,))
@options.on_a_stack
@options.yes
def command(context: Context, stack: str | None, engine: str | None, yes: bool) -> None:
    """Take the stack from the run that holds it. What that run has under way may have to be looked up by the next."""
    from cloudmodel.cli.output import emit, say

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine, anywhere=True)
    context.confirm(f"End the run that holds stack {opened.name}?", yes=yes)
    ended = opened.engine.cancel()
    if context.json:
        emit("cancel", {"stack": opened.name, "cancelled": ended})
    else:
        say(f"ended: {ended}" if ended else f"no run holds stack {opened.name}")
