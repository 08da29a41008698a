"""Flags that several verbs share, each written once. Every flag is an environment variable: `CLOUDMODEL_<FLAG>`."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from cloudmodel.cli import examples
from cloudmodel.cli.context import Context
from cloudmodel.cli.exit_codes import BUG, CANCELLED, DONE, FAILED, USAGE, legend
from cloudmodel.core.errors import CloudmodelError

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

ALWAYS = (DONE, FAILED, USAGE, CANCELLED, BUG)
FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
SETTINGS = {"auto_envvar_prefix": "CLOUDMODEL", "help_option_names": ["-h", "--help"]}


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Put a common flag where every verb finds it; a flag not given leaves what an outer command was given."""
    if value and parameter.name:
        setattr(context.ensure_object(Context), parameter.name, value)


def _common(*names: str, **attributes: Any) -> Decorator:
    return click.option(*names, expose_value=False, callback=_keep, is_eager=True, **attributes)


def _stacks(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Names of stacks that begin so; none where no project is found."""
    try:
        folder = context.ensure_object(Context).folder()
    except CloudmodelError:
        return []
    names = sorted(path.name.split(".", 1)[1].removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))
    return [name for name in names if name.startswith(begun)]


stack_argument = click.argument("name", shell_complete=_stacks)
cwd = _common("-C", "--cwd", type=FOLDER, metavar="DIR", help="Work in this project folder.")
debug = _common("--debug", is_flag=True, help="Show Python's traceback of an error.")
as_json = _common("-j", "--json", is_flag=True, help="Print one JSON document on stdout.")
non_interactive = _common("--non-interactive", is_flag=True, help="Never ask, even on a terminal.")

stack = click.option(
    "-s",
    "--stack",
    metavar="NAME",
    shell_complete=_stacks,
    help="The stack, or PROJECT/STACK [default: the selected one].",
)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
diff = click.option("--diff", is_flag=True, help="Show every property, as a tree by parent.")
refresh = click.option("-r", "--refresh", is_flag=True, help="Read the cloud into the state first.")
replace = click.option("--replace", multiple=True, metavar="URN", help="Replace this resource (may be repeated).")
expect_no_changes = click.option("--expect-no-changes", is_flag=True, help="Exit 7 where anything would change.")
parallel = click.option("-p", "--parallel", type=click.IntRange(min=1), metavar="N", help="Operations at a time.")
message = click.option("-m", "--message", default="", metavar="TEXT", help="A note for the history.")
show_secrets = click.option("--show-secrets", is_flag=True, help="Print secret values in clear.")
engine = click.option(
    "--engine", type=click.Choice(["embedded", "official"]), help="The engine [default: by the stack's target]."
)


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator; help shows them in this order."""
    return lambda function: reduce(lambda wrapped, decorator: decorator(wrapped), reversed(decorators), function)


common = together(cwd, as_json, debug, non_interactive)
COMMON = ("cwd", "json", "debug", "non_interactive")
on_a_stack = together(stack, engine)
running = together(parallel, message, show_secrets)
planning = together(diff, refresh, replace, running)


def epilog(path: str, exits: tuple[int, ...]) -> str:
    """What ends the help of the verb that is called by these words: its examples and its exit codes."""
    return examples.of(path) + legend((*ALWAYS, *exits))


def verb(
    name: str, *, group: click.Group | None = None, exits: tuple[int, ...] = ()
) -> Callable[[Function], click.Command]:
    """A command that takes the Context first and has the flags common to all; `exits` are codes it may end with
    besides those that every verb has."""

    def decorate(function: Function) -> click.Command:
        path = f"{group.name} {name}" if group else name
        make = click.command(name, context_settings=SETTINGS, epilog=epilog(path, exits))
        command = make(common(click.make_pass_decorator(Context, ensure=True)(function)))
        command.params.sort(key=lambda parameter: parameter.name in COMMON)
        if group is not None:
            group.add_command(command)
        return command

    return decorate
