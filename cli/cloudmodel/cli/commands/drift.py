"""`cloudmodel drift`: does the cloud still hold what the state says, and does the endpoint serve it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context, address
from cloudmodel.cli.exit_codes import DRIFT

if TYPE_CHECKING:
    from cloudmodel.settings.model import StackSettings

NONE, SOME = "none", "drift"


@options.verb("drift", exits=(3, 4, 6, DRIFT))
@options.on_a_stack
@options.parallel
def command(context: Context, stack: str | None, engine: str | None, parallel: int | None) -> None:
    """Compare the stack's state with the cloud. It only reads; a read that is refused is an error and never drift.

    What the program leaves to autoscaling is not compared.
    """
    from cloudmodel.cli import running
    from cloudmodel.cli.output import emit, note, say
    from cloudmodel.cli.values import readable, shown
    from cloudmodel.core.errors import DriftFound
    from cloudmodel.deploy.engines import Drift, Options
    from cloudmodel.deploy.outcome import Outcome
    from cloudmodel.engine.step import Events
    from cloudmodel.operate.drift import infrastructure

    opened = context.open(stack, engine=engine, anywhere=True)
    address(opened)  # a local AWS that does not run is not started only to find nothing in it
    told: list[Drift] = []

    def look(asked: Options, events: Events) -> Outcome:
        told.append(opened.engine.drift(asked, events))
        return told[0].outcome

    outcome = running.watched(context, opened, look, Options(parallel=parallel))
    items = list(infrastructure(outcome.steps))
    serving = told[0].serving
    unseen = [*told[0].unseen, *_unlike_the_pins(opened.settings, outcome.outputs)]
    found = bool(items or serving)
    if context.json:
        document = {
            "stack": opened.name,
            "infrastructure": [
                {**asdict(item), "state": readable(item.state), "live": readable(item.live)} for item in items
            ],
            "serving": [asdict(each) for each in serving],
            "verdict": SOME if found else NONE,
            "warnings": [*outcome.warnings, *unseen],
        }
        emit("drift", document)
        if found:
            click.get_current_context().exit(DRIFT)
        return
    for text in unseen:
        note(f"warning: {text}", fg="yellow")
    for item in items:
        say(f"{item.urn}\n    {item.property}: {shown(item.state)} => {shown(item.live)}", fg="yellow")
    for each in serving:
        say(f"{each.urn}\n    endpoint {each.endpoint} {each.what}", fg="yellow")
    if found:
        places = len(items) + len(serving)
        raise DriftFound(
            f"the cloud differs from the state in {places} place{'s' if places > 1 else ''}",
            where=f"stack {opened.name}",
            hint=f"take the cloud's side: cloudmodel refresh --stack {opened.name}; "
            f"or the state's: cloudmodel up --refresh --stack {opened.name}",
            runbook="silent-rollback" if serving else None,
        )
    say(f"no drift: the cloud is what the state of {opened.name} says")


def _unlike_the_pins(settings: StackSettings, outputs: Mapping[str, Any]) -> Iterator[str]:
    """Variants whose pinned bundle is not the one that was deployed."""
    stands = {each["name"]: each["bundle_digest"] for each in outputs.get("variants") or ()}
    for each in settings.served:
        found = stands.get(each.name) if settings.variants else outputs.get("bundle_digest")
        if each.bundle and found and each.bundle != found:
            of = f" of {each.name}" if settings.variants else ""
            yield f"the pin{of} is {each.bundle} and {found} was deployed: the next `up` changes that"
