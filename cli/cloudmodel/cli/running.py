"""What the verbs that run an engine have in common: watch it, show its plan, hold it to `--expect-no-changes`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from cloudmodel.cli import plan
from cloudmodel.cli.context import Context, OpenStack
from cloudmodel.cli.interrupts import stoppable
from cloudmodel.cli.output import emit, note, say
from cloudmodel.cli.progress import reporting
from cloudmodel.core.errors import UnexpectedChanges
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Events, Op, Step

Run = Callable[[Options, Events], Outcome]


def watched(
    context: Context, stack: OpenStack, run: Run, options: Options, *, planned: Outcome | None = None
) -> Outcome:
    """Run a verb of the stack's engine with progress on stderr and Ctrl-C in hand; its warnings follow."""
    total = sum(step.op not in (Op.SAME, Op.READ) for step in planned.steps) if planned else None
    stop = getattr(stack.engine, "stop", None)
    with reporting(debug=context.debug, total=total) as reporter, stoppable(stop, as_json=context.json):
        outcome = run(options, reporter.events)
    for warning in outcome.warnings if planned is None or outcome.warnings != planned.warnings else ():
        note(f"warning: {warning}", fg="yellow")
    return outcome


def show_plan(action: str, outcome: Outcome, *, tree: bool) -> None:
    """The plan as text on stdout."""
    for line in plan.text(action, outcome, tree=tree, aligned=sys.stdout.isatty()).split("\n"):
        say(line, fg=colour(line))


def show_result(context: Context, verb: str, outcome: Outcome) -> None:
    """What a run did: its one document, or outputs, counts and duration as text."""
    if context.json:
        emit(verb, plan.as_json(outcome))
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


def deletions(stack: OpenStack, exported: Mapping[str, Any]) -> Outcome:
    """What a destroy would delete, by the stack's exported state: the last made first."""
    entries = exported.get("deployment", {}).get("resources", ())
    steps = [
        Step(
            op=Op.DELETE,
            urn=entry["urn"],
            type=entry["type"],
            note="[protected]" if entry.get("protect") else "[retain]" if entry.get("retainOnDelete") else "",
            old=Resource(urn=entry["urn"], type=entry["type"], id=entry.get("id", ""), parent=entry.get("parent", "")),
        )
        for entry in reversed(entries)
        if not entry.get("external")
    ]
    return Outcome(
        stack=stack.name,
        target=stack.settings.target,
        engine=getattr(stack.engine, "name", stack.settings.target),
        region=stack.settings.region,
        steps=tuple(steps),
    )
