"""`cloudmodel rollback`: make a stack what an earlier run of it left."""

from __future__ import annotations

from typing import Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context, OpenStack


@options.verb("rollback", exits=(3, 4, 6, 9, 10, 14, 16))
@options.on_a_stack
@click.option(
    "--to", metavar="REVISION",
    help="A version of `history`, or a revision's name [default: the newest that served something else].",
)  # fmt: skip
@options.yes
@options.diff
@options.running
def command(
    context: Context, stack: str | None, engine: str | None, to: str | None, yes: bool, diff: bool, **flags: Any
) -> None:
    """Show what going back changes, ask, and do it. The project's program is not run.

    It needs the stack's state and the bundle store; without a terminal --yes. Where there is no project, credentials
    and the stack's name are enough: its state is found in the bucket that `bootstrap` made, its settings beside it.
    The lock of a run that has ended, or that is older than any job may be, is explained, and broken with --yes; another
    is broken by its name (`state unlock --id`). What the program would change forward again is what the next `preview`
    shows: pin the bundle that is to stay.
    """
    from cloudmodel.cli import plan, running
    from cloudmodel.cli.output import emit, note, say
    from cloudmodel.deploy.engines import Options
    from cloudmodel.deploy.outcome import Outcome
    from cloudmodel.engine.step import Events

    context.refuse_unasked(yes=yes)
    opened = context.open(stack, engine=engine, anywhere=True)
    asked = Options(**flags)

    def look(options: Options, events: Events) -> Outcome:
        return opened.engine.preview_rollback(to, options, events)

    _free(opened, yes=yes)
    planned = running.watched(context, opened, look, asked)
    if not context.json:
        running.show_plan("Previewing rollback", planned, tree=diff)
    if planned.changes:
        context.confirm(running.question("Roll back", planned), yes=yes)
    outcome = running.watched(context, opened, opened.engine.rollback, asked, planned=planned)
    pins = [
        f"the bundle {each['bundle_digest']} and the weight {each['weight']:g} in {each['name']}"
        for each in outcome.outputs.get("variants") or ()
    ] or [f"cloudmodel:bundle: {outcome.outputs.get('bundle_digest')}"]
    advice = f"the next `up` goes forward again unless {opened.settings.path.name} pins {', '.join(pins)}"
    if context.json:
        told = {"duration_s": round(outcome.duration_s or 0, 3), "calls": list(outcome.calls), "next": advice}
        emit("rollback", plan.as_json(outcome) | told)
        return
    say("\n" + plan.result(outcome))
    note(advice)


def _free(opened: OpenStack, *, yes: bool) -> None:
    """Break the lock of a run that is over. Raises StackLocked where it may live, or where nobody said --yes.

    It is over where its process has ended, or where it gave no sign of life for as long as one that runs never does.
    The lock of a version that gave none: where it is older than the credentials of any job.
    """
    from cloudmodel.cli.output import note
    from cloudmodel.core.errors import StackLocked
    from cloudmodel.engine.pulse import SILENT
    from cloudmodel.operate.bootstrap.goals import APPLY_SECONDS

    holder = opened.engine.holder()
    if holder is None:
        return
    over = holder.over or (not holder.beats and (holder.held or 0) > APPLY_SECONDS)
    if not over or not yes:
        hint = f"that run is over: cloudmodel rollback --stack {opened.name} --yes"
        if holder.lives:
            silence = f"; it is over after {SILENT / 60:g} min without a sign of life"
            hint = f"wait for it{'' if holder.here else silence}"
        elif not over:
            named = f"cloudmodel state unlock --stack {opened.name} --id {holder.id}"
            hint = f"wait for it; if that job has ended: {named}, then the same command again"
        raise StackLocked(
            f"the stack {opened.name} is locked: {holder.describe()}",
            where=f"stack {opened.name}",
            hint=hint,
            runbook="stuck-lock",
        )
    note(f"the lock of a run that is over is broken: {holder.describe()}", fg="yellow")
    opened.engine.unlock(holder.id)
