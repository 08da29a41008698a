"""`cloudmodel outputs`: what a stack hands to others."""

from __future__ import annotations

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("outputs", exits=(6,))
@click.argument("name", required=False)
@options.on_a_stack
@options.show_secrets
def command(context: Context, name: str | None, stack: str | None, engine: str | None, show_secrets: bool) -> None:
    """Show the stack's outputs, or the bare value of the one called NAME."""
    from cloudmodel.cli.output import emit, say, table
    from cloudmodel.cli.values import readable, shown
    from cloudmodel.core.errors import UsageError

    opened = context.open(stack, engine=engine, anywhere=True)
    values = {key: readable(value) for key, value in opened.engine.outputs(show_secrets=show_secrets).items()}
    if name is not None and name not in values:
        raise UsageError(
            f"stack {opened.name} has no output {name!r}; it has {', '.join(sorted(values)) or 'none'}",
            hint=f"cloudmodel outputs --stack {opened.name}",
        )
    if context.json:
        emit("outputs", {"stack": opened.name, "outputs": values if name is None else {name: values[name]}})
    elif name is not None:
        say(values[name] if isinstance(values[name], str) else shown(values[name]))
    elif values:
        say(table(("OUTPUT", "VALUE"), [(key, shown(values[key])) for key in sorted(values)]))
