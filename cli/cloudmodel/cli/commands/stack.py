"""`cloudmodel stack`: the stacks of a project. A stack is its settings file; its state is made at the first `up`."""

from __future__ import annotations

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

SETTINGS_FILE = """\
config:
  cloudmodel:target: {target}
  aws:region: {region}
"""
MORE_FOR_AWS = """\
  # Required before the first `up`: the accounts this stack may touch, and the bundle it serves.
  aws:allowedAccountIds: []
  # cloudmodel:bundle: sha256:…   (cloudmodel package --push prints it)
"""


@click.group("stack", context_settings=options.SETTINGS)
def command() -> None:
    """List, make, select and remove stacks."""


@options.verb("ls", group=command)
def ls(context: Context) -> None:
    """List the project's stacks."""
    from cloudmodel.cli.context import selected
    from cloudmodel.cli.output import emit, say, table
    from cloudmodel.core.errors import SettingsInvalid
    from cloudmodel.settings.load import load_stack, stacks

    project = context.project()
    chosen = selected(project.folder)
    found = []
    for name in stacks(project):
        entry = {"name": name, "selected": name == chosen, "target": None, "region": None, "problem": None}
        try:
            settings = load_stack(project, name)
            entry |= {"target": settings.target, "region": settings.region}
        except SettingsInvalid as invalid:
            entry["problem"] = invalid.message
        found.append(entry)
    if context.json:
        emit("stack-ls", {"stacks": found})
        return
    rows = [
        (
            f"{entry['name']}{'*' if entry['selected'] else ''}",
            str(entry["target"] or "-"),
            str(entry["region"] or "-"),
            str(entry["problem"] or "").partition("\n")[0],
        )
        for entry in found
    ]
    say(table(("STACK", "TARGET", "REGION", "PROBLEM"), rows))


@options.verb("init", group=command)
@click.argument("name")
@click.option("--target", type=click.Choice(["local", "aws"]), required=True, help="Where it stands; never guessed.")
@click.option("--region", default="us-east-1", show_default=True, metavar="REGION", help="The AWS region.")
def init(context: Context, name: str, target: str, region: str) -> None:
    """Make the stack NAME (its settings file) and select it."""
    from cloudmodel.cli.context import select, shell_name, valid_stack_name
    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError

    project = context.project()
    path = project.folder / f"Pulumi.{valid_stack_name(name)}.yaml"
    if not all(part.isalnum() for part in region.split("-")):
        raise UsageError(f"{region!r} is no region", hint=f"cloudmodel stack init {name} --region us-east-1")
    try:
        with path.open("x") as file:
            file.write(SETTINGS_FILE.format(target=target, region=region) + (MORE_FOR_AWS if target == "aws" else ""))
    except FileExistsError:
        raise UsageError(
            f"stack {name} exists already", where=str(path), hint=f"cloudmodel stack select {name}"
        ) from None
    select(project.folder, name)
    if context.json:
        emit("stack-init", {"name": name, "path": str(path), "target": target, "region": region})
    else:
        say(f"made and selected stack {name}: {shell_name(path)}")


@options.verb("select", group=command, exits=(6,))
@options.stack_argument
def select_(context: Context, name: str) -> None:
    """Make NAME the stack of verbs that are given none."""
    from cloudmodel.cli.context import select, stack_name
    from cloudmodel.cli.output import emit, say

    project = context.project()
    select(project.folder, stack_name(project, name))
    if context.json:
        emit("stack-select", {"name": name})
    else:
        say(f"selected stack {name}")


@options.verb("rm", group=command, exits=(6, 16))
@options.stack_argument
@options.yes
@options.engine
@click.option("--force", is_flag=True, help="Also when it still holds resources; they stay in the cloud, unmanaged.")
@click.option("--preserve-config", is_flag=True, help="Keep the settings file.")
def rm(context: Context, name: str, yes: bool, engine: str | None, force: bool, preserve_config: bool) -> None:
    """Remove the stack NAME: its state and its settings file. It must hold no resources."""
    from cloudmodel.cli.context import unselect
    from cloudmodel.cli.output import emit, say

    context.refuse_unasked(yes=yes)
    opened = context.open(name, engine=engine)
    context.confirm(f"Remove stack {opened.name}?", yes=yes)
    opened.engine.remove(force=force)
    if not preserve_config:
        (opened.project.folder / f"Pulumi.{opened.name}.yaml").unlink(missing_ok=True)
        unselect(opened.project.folder, opened.name)
    if context.json:
        emit("stack-rm", {"name": opened.name, "settings_kept": preserve_config})
    else:
        say(f"removed stack {opened.name}")
