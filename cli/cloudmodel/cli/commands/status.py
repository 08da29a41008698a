"""`cloudmodel status`: a stack on one screen."""

from __future__ import annotations

from dataclasses import asdict

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context, address

COLOURS = {"InService": "green", "OK": "green", "Failed": "red", "ALARM": "red", "gone": "red"}


@options.verb("status", exits=(3, 6))
@options.on_a_stack
@click.option(
    "--events", "count", type=click.IntRange(min=0), default=5, show_default=True, metavar="N",
    help="How many of the newest events.",
)  # fmt: skip
def command(context: Context, stack: str | None, engine: str | None, count: int) -> None:
    """Show the stack's revision, variants, instances, alarms and newest events. It only reads."""
    from cloudmodel.cli.output import emit, say, table
    from cloudmodel.operate.status import Standing, standing

    opened = context.open(stack, engine=engine, anywhere=True)
    outputs = opened.engine.outputs()
    endpoint = outputs.get("endpoint_name")
    events = sorted(opened.engine.history(), key=lambda update: update.version, reverse=True)[:count]
    found = (
        standing(address(opened), endpoint) if isinstance(endpoint, str) else Standing("", "none", None, None, (), ())
    )
    bundles = {each["name"]: each["bundle_digest"] for each in outputs.get("variants") or ()}
    head = {name: outputs.get(name) for name in ("revision", "bundle_digest")}
    if context.json:
        told = {"stack": opened.name, "target": opened.settings.target, "region": opened.settings.region, **head}
        if bundles:
            told["bundles"] = bundles
        emit("status", {**told, **found.as_json(), "events": [asdict(each) for each in events]})
        return
    say(f"stack {opened.name}: target {opened.settings.target}, region {opened.settings.region}")
    if not found.endpoint:
        say(f"no endpoint; cloudmodel up --stack {opened.name} makes it")
    else:
        say(f"endpoint {found.endpoint}: {found.status}", fg=COLOURS.get(found.status, "yellow"))
        bundle = "" if bundles else f", bundle {head['bundle_digest']}"
        say(f"revision {head['revision']}{bundle}")
        if found.failure:
            say(f"reason: {found.failure}", fg="red")
    if found.variants:
        rows = [
            (
                each.name,
                *map(_told, (each.weight, each.instances, each.wanted)),
                *([bundles.get(each.name, "-")] if bundles else []),
            )
            for each in found.variants
        ]
        say("\n" + table(("VARIANT", "WEIGHT", "INSTANCES", "WANTED", *(["BUNDLE"] if bundles else [])), rows))
    if found.alarms:
        say("\n" + table(("ALARM", "STATE", "SINCE"), [(each.name, each.state, each.since) for each in found.alarms]))
    if events:
        rows = [
            (str(each.version), each.kind, each.result, each.started, each.message.partition("\n")[0])
            for each in events
        ]
        say("\n" + table(("EVENT", "KIND", "RESULT", "STARTED", "MESSAGE"), rows))


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
