"""`cloudmodel state`: a stack's state as a document, and its lock."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.group("state", context_settings=options.SETTINGS)
def command() -> None:
    """Export, import, rebuild, verify and unlock a stack's state."""


@options.verb("export", group=command, exits=(6,))
@options.on_a_stack
@click.option("--file", type=FILE, default="-", show_default=True, metavar="FILE", help="Where to write it.")
@options.show_secrets
def export(context: Context, stack: str | None, engine: str | None, file: Path, show_secrets: bool) -> None:
    """Write the state as Pulumi's `stack export` does. With --json it stands under `state` in one document."""
    from cloudmodel.cli.output import emit, encode, say
    from cloudmodel.core.files import write_text

    opened = context.open(stack, engine=engine, anywhere=True)
    document = opened.engine.export_state(show_secrets=show_secrets)
    if str(file) != "-":
        write_text(file, encode(document) + "\n", mode=0o600)
    if context.json:
        emit("state-export", {"stack": opened.name, "state": document})
    elif str(file) == "-":
        click.echo(encode(document))
    else:
        say(f"wrote the state of stack {opened.name} to {file}")


@options.verb("import", group=command, exits=(6, 16))
@options.on_a_stack
@options.yes
@click.option("--file", type=FILE, default="-", show_default=True, metavar="FILE", help="Where to read it.")
def import_(context: Context, stack: str | None, engine: str | None, yes: bool, file: Path) -> None:
    """Take the place of the state with one that was exported. A state that contradicts itself is refused."""
    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        document = json.loads(text)
    except (OSError, UnicodeDecodeError) as unreadable:
        raise UsageError(f"the state to import cannot be read: {unreadable}", where=str(file)) from None
    except (json.JSONDecodeError, RecursionError) as invalid:
        raise UsageError(
            f"the state to import is not JSON: {invalid}", where=str(file), hint="cloudmodel state export"
        ) from None
    if not isinstance(document, dict):
        raise UsageError("the state to import is no JSON object", where=str(file), hint="cloudmodel state export")
    context.confirm(f"Replace the state of stack {opened.name}?", yes=yes)
    opened.engine.import_state(document)
    if context.json:
        emit("state-import", {"stack": opened.name})
    else:
        say(f"imported the state of stack {opened.name}")


@options.verb("rebuild", group=command, exits=(3, 4, 6, 16))
@options.on_a_stack
@options.yes
@options.parallel
def rebuild(context: Context, stack: str | None, engine: str | None, yes: bool, parallel: int | None) -> None:
    """Make a lost state anew: the program says what belongs to the stack, names and tags say what of it stands.

    The cloud is only read. The commit and the bundle that are live must be those of the project. What is not found is
    what the next `up` makes. The state that is there, whole or not, goes into the backups.
    """
    from cloudmodel.cli import running
    from cloudmodel.cli.output import emit, note, say
    from cloudmodel.deploy.engines import Options
    from cloudmodel.deploy.rebuild import Rebuilt

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine)
    context.confirm(f"Put what is found in the cloud in the place of the state of stack {opened.name}?", yes=yes)
    done: Rebuilt = running.held(
        context, opened, lambda events: opened.engine.rebuild_state(Options(parallel=parallel), events)
    )
    if context.json:
        told = {"found": list(done.found), "missing": list(done.missing), "warnings": list(done.strays)}
        emit("state-rebuild", {"stack": opened.name, **told})
        return
    say(f"the state of stack {opened.name} has {len(done.found)} resources that were found in the cloud")
    for urn in done.missing:
        say(f"not found: {urn}", fg="yellow")
    for text in done.strays:
        note(f"warning: {text}", fg="yellow")
    say(f"next: cloudmodel preview --refresh --stack {opened.name}")


@options.verb("verify", group=command, exits=(6,))
@options.on_a_stack
def verify(context: Context, stack: str | None, engine: str | None) -> None:
    """Check that the state can be read and does not contradict itself; say who holds it, and what was begun and has no
    recorded end. It only reads."""
    from dataclasses import asdict

    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import StateCorrupt

    opened = context.open(stack, engine=engine, anywhere=True)
    problems = opened.engine.verify_state()
    if problems:
        raise StateCorrupt(
            "\n".join(problems),
            where=f"state of stack {opened.name}",
            hint=f"cloudmodel state import --stack {opened.name} --file BACKUP",
            details={"problems": list(problems)},
        )
    holder, pending = opened.engine.holder(), opened.engine.pending()
    if context.json:
        lock = asdict(holder) if holder else None
        emit("state-verify", {"stack": opened.name, "problems": [], "lock": lock, "pending": list(pending)})
        return
    say(f"the state of stack {opened.name} holds")
    say(f"lock: {holder.describe() if holder else 'none'}")
    for each in pending or ("none",):
        say(f"pending: {each}")


@options.verb("unlock", group=command, exits=(6, 16))
@options.on_a_stack
@click.option("--id", "lock_id", required=True, metavar="ID", help="The lock, as the refused run named it.")
def unlock(context: Context, stack: str | None, engine: str | None, lock_id: str) -> None:
    """Break the lock ID, and Pulumi's own that the same run left. Its holder can then no longer write the state."""
    from cloudmodel.cli.output import emit, say

    opened = context.open(stack, engine=engine, anywhere=True)
    opened.engine.unlock(lock_id)
    if context.json:
        emit("state-unlock", {"stack": opened.name, "id": lock_id})
    else:
        say(f"unlocked stack {opened.name}")
