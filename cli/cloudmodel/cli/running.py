"""What the verbs that run an engine have in common: watch it, show its plan, hold it to `--expect-no-changes`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from cloudmodel.cli import plan
from cloudmodel.cli.context import Context, OpenStack
from cloudmodel.cli.interrupts import stoppable
from cloudmodel.cli.output import emit, say
from cloudmodel.cli.progress import reporting
from cloudmodel.core.errors import UnexpectedChanges
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.step import Events, Op

Done = TypeVar("Done")
Run = Callable[[Options, Events], Outcome]


def watched(
    context: Context, stack: OpenStack, run: Run, options: Options, *, planned: Outcome | None = None
) -> Outcome:
    """Run a verb of the stack's engine with progress and warnings on stderr, and Ctrl-C in hand."""
    total = sum(step.op not in (Op.SAME, Op.READ) for step in planned.steps) if planned else None
    return held(context, stack, lambda events: run(options, events), total=total)


def held(context: Context, stack: OpenStack, work: Callable[[Events], Done], *, total: int | None = None) -> Done:
    """Let the stack's engine `work`, with progress and warnings on stderr, and Ctrl-C in hand."""
    with reporting(debug=context.debug, total=total) as reporter, stoppable(stack.engine.stop, as_json=context.json):
        return work(reporter.events)


def show_plan(action: str, outcome: Outcome, *, tree: bool) -> None:
    """The plan as text on stdout."""
    for line in plan.text(action, outcome, tree=tree, aligned=sys.stdout.isatty()).split("\n"):
        say(line, fg=colour(line))


def show_result(context: Context, verb: str, outcome: Outcome) -> None:
    """What a run did: its one document, or outputs, counts and duration as text."""
    if context.json:
        emit(verb, plan.as_json(outcome) | {"duration_s": round(outcome.duration_s or 0, 3)})
    else:
        say("\n" + plan.result(outcome))


def colour(line: str) -> str | None:
    """The colour of a plan's line, by the sign it begins with."""
    sign = line.strip().partition(" ")[0]
    return next((look.colour for look in plan.LOOKS.values() if look.sign and look.sign == sign), None)


def refuse_changes(outcome: Outcome, *, expect_no_changes: bool) -> None:
    """Raises UnexpectedChanges, with the plan in its details, where none were expected."""
    if expect_no_changes and outcome.changes:
        counts = ", ".join(f"{count} to {kind}" for kind, count in outcome.summary.items() if count and kind != "same")
        raise UnexpectedChanges(
            f"no changes were expected, the plan has {counts or 'some'}",
            where=f"stack {outcome.stack}",
            hint=f"cloudmodel preview --diff --stack {outcome.stack}",
            details={"plan": plan.as_json(outcome)},
        )


def question(verb: str, outcome: Outcome) -> str:
    """What is asked before a change."""
    return f"{verb} stack {outcome.stack} (target {outcome.target}, region {outcome.region})?"
