"""`cloudmodel completion`: what a shell needs to complete verbs, flags and the names of stacks."""

from __future__ import annotations

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

SHELLS = {
    "bash": "source it in ~/.bashrc",
    "zsh": "source it in ~/.zshrc, after compinit",
    "fish": "write it to ~/.config/fish/completions/cloudmodel.fish",
}


@options.verb("completion")
@click.argument("shell", type=click.Choice([*SHELLS]))
def command(context: Context, shell: str) -> None:
    """Print the completion script of SHELL. bash and zsh source it at each start, fish reads it from its folder.

    Names of stacks are those of the project that the command line names, or that the current folder is in.
    """
    from click.shell_completion import get_completion_class

    from cloudmodel.cli.main import cli
    from cloudmodel.cli.output import emit, note

    found = get_completion_class(shell)
    assert found is not None, "click knows these three"
    script = found(cli, {}, "cloudmodel", "_CLOUDMODEL_COMPLETE").source()
    if context.json:
        emit("completion", {"shell": shell, "script": script})
        return
    click.echo(script)
    note(f"next: {SHELLS[shell]}")
