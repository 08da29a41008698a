"""A plan, or what became of one, as text in Pulumi's manner and as the JSON of the contract.

Row: `<op> <type> <name> <verb> [diff: ~prop]`; tail: `Resources:`, one line a kind of change, and the unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cloudmodel.cli.output import printable
from cloudmodel.cli.values import readable, shown
from cloudmodel.core.resource import DiffKind
from cloudmodel.deploy.outcome import Outcome, default_provider
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.urn import short_type

STACK = "pulumi:pulumi:Stack"


class Look(NamedTuple):
    """How an operation is written: its sign, what a plan calls it, what it is called under way and afterwards."""

    sign: str
    planned: str
    running: str
    done: str
    colour: str | None = None


LOOKS = {
    Op.SAME: Look("", "", "", ""),
    Op.CREATE: Look("+", "create", "creating", "created", "green"),
    Op.UPDATE: Look("~", "update", "updating", "updated", "yellow"),
    Op.DELETE: Look("-", "delete", "deleting", "deleted", "red"),
    Op.REPLACE: Look("+-", "replace", "replacing", "replaced", "magenta"),
    Op.CREATE_REPLACEMENT: Look("++", "create replacement", "creating replacement", "created replacement", "green"),
    Op.DELETE_REPLACED: Look("--", "delete original", "deleting original", "deleted original", "red"),
    Op.READ: Look(">", "read", "reading", "read", "cyan"),
    Op.READ_REPLACEMENT: Look(">~", "read for replacement", "reading for replacement", "read for replacement", "cyan"),
    Op.REFRESH: Look("~", "refresh", "refreshing", "refreshed", "yellow"),
    Op.IMPORT: Look("=", "import", "importing", "imported", "cyan"),
    Op.DISCARD: Look("<", "discard", "discarding", "discarded", "cyan"),
}
COUNTED = (Op.CREATE, Op.UPDATE, Op.DELETE, Op.REPLACE, Op.REFRESH, Op.IMPORT)
SIGNS = (("+", "add"), ("-", "delete"), ("~", "update"))


def short_diff(step: Step) -> str:
    """`[diff: +added-removed~changed]` by top-level property, or nothing."""
    kinds: dict[str, str] = {}
    for path, change in step.diff.items():
        top = path.partition(".")[0].partition("[")[0]
        kinds[top] = change.kind.value.removesuffix("-replace") if path == top else "update"
    groups = [(sign, sorted(top for top, kind in kinds.items() if kind == word)) for sign, word in SIGNS]
    text = "".join(sign + ",".join(names) for sign, names in groups if names)
    return f"[diff: {text}]" if text else ""


def hidden(step: Step) -> bool:
    """Rows nobody needs: what stays the same, and the providers that the engine adds by itself."""
    return default_provider(step) or (step.op is Op.SAME and step.type != STACK)


def cells(step: Step) -> tuple[str, ...]:
    """The columns of one row."""
    look = LOOKS[step.op]
    rest = " ".join(part for part in (look.planned + step.note, short_diff(step)) if part)
    return (look.sign.ljust(2), short_type(step.type), step.name, rest)


def rows(steps: Sequence[Step], *, aligned: bool = False) -> list[str]:
    """One line a visible step: columns under each other, or one blank apart where a program may read them."""
    lines = [tuple(printable(cell) for cell in cells(step)) for step in steps if not hidden(step)]
    widths = [max((len(line[column]) for line in lines), default=0) if aligned else 0 for column in range(4)]
    return [
        " " + " ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]


def heading(action: str, outcome: Outcome) -> str:
    """The first line of every plan: what happens where, in which account and region."""
    account = outcome.account or "none (no credentials used)"
    return (
        f"{action} (stack {outcome.stack}): target {outcome.target}, account {account}, "
        f"region {outcome.region}, engine {outcome.engine}"
    )


def resources(outcome: Outcome, *, preview: bool) -> list[str]:
    """The tail: how many of each kind."""
    counts = outcome.summary
    found = [(LOOKS[op], counts[op.value]) for op in COUNTED if counts.get(op.value)]
    lines = [
        f"    {look.sign.ljust(2)}{count} {'to ' + look.planned if preview else look.done}" for look, count in found
    ]
    pieces = [f"{sum(count for _, count in found)} changes"] if len(found) > 1 else []
    pieces += [f"{counts['same']} unchanged"] if counts.get("same") else []
    tail = ". ".join(pieces) or ("" if found else "none")
    return ["Resources:", *lines, *([f"    {tail}"] if tail else [])]


def outputs(values: Mapping[str, Any]) -> list[str]:
    """The stack's outputs, by name."""
    if not values:
        return []
    return ["Outputs:", *(f"    {printable(name)}: {printable(shown(values[name]))}" for name in sorted(values))]


def text(action: str, outcome: Outcome, *, tree: bool, aligned: bool = False) -> str:
    """A whole plan for a reader; `tree` shows every property, by parent."""
    body = list(branches(outcome.steps)) if tree else rows(outcome.steps, aligned=aligned)
    sections = [[heading(action, outcome), *body], outputs(outcome.outputs), resources(outcome, preview=True)]
    return "\n\n".join("\n".join(section) for section in sections if section)


def result(outcome: Outcome) -> str:
    """What stands after a run: outputs, counts, duration in whole seconds."""
    sections = [outputs(outcome.outputs), resources(outcome, preview=False)]
    if outcome.duration_s is not None:
        sections.append([f"Duration: {round(outcome.duration_s)}s"])
    return "\n\n".join("\n".join(section) for section in sections if section)


def branches(steps: Sequence[Step]) -> Iterator[str]:
    """The plan as a tree by parent, with identities and every property that changes."""
    known = {step.urn for step in steps}
    children: dict[str, list[Step]] = {}
    for step in steps:
        parent = entry(step).parent
        children.setdefault(parent if parent in known and parent != step.urn else "", []).append(step)

    def interesting(step: Step) -> bool:
        return not hidden(step) or any(interesting(child) for child in children.get(step.urn, ()))

    def walk(parent: str, depth: int) -> Iterator[str]:
        walked = set()
        for step in children.get(parent, ()):
            if not interesting(step):
                continue
            yield from branch(step, "    " * depth)
            if step.urn not in walked:
                walked.add(step.urn)
                yield from walk(step.urn, depth + 1)

    yield from walk("", 0)


def branch(step: Step, indent: str) -> Iterator[str]:
    """One resource of the tree."""
    here = entry(step)
    sign = LOOKS[step.op].sign.ljust(2)
    word = LOOKS[step.op].planned or "same"
    yield f"{indent}{sign}{printable(short_type(step.type))}: ({word}){printable(step.note)}"
    for label, value in (("id", here.id), ("urn", step.urn), ("provider", here.provider)):
        if value:
            yield f"{indent}    [{label}={printable(value)}]"
    if step.op in (Op.CREATE, Op.IMPORT) or (step.op is Op.DELETE and not step.diff):
        for name in sorted(here.inputs):
            if not name.startswith("__"):
                yield f"{indent}    {printable(name)}: {printable(shown(here.inputs[name]))}"
    for path in sorted(step.diff):
        change = step.diff[path]
        old, new = printable(shown(change.old)), printable(shown(change.new))
        yield (
            f"{indent}  "
            + {
                DiffKind.ADD: f"+ {printable(path)}: {new}",
                DiffKind.DELETE: f"- {printable(path)}: {old}",
                DiffKind.UPDATE: f"~ {printable(path)}: {old} => {new}",
            }[DiffKind(change.kind.value.removesuffix("-replace"))]
            + ("  (forces replacement)" if path in step.replace_reasons else "")
        )


def entry(step: Step) -> Resource:
    """The resource a step is about, as it will be, else as it was."""
    return step.new or step.old or Resource(urn=step.urn, type=step.type)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The contract's fields of a plan: the same plan gives the same document. `account` only where it is known."""
    document: dict[str, Any] = {
        "stack": outcome.stack,
        "target": outcome.target,
        "engine": outcome.engine,
        "region": outcome.region,
        "steps": [step_json(step) for step in outcome.steps],
        "summary": outcome.summary,
        "outputs": readable(dict(outcome.outputs)),
        "policies": [],
        "warnings": list(outcome.warnings),
    }
    if outcome.account:
        document["account"] = outcome.account
    return document


def step_json(step: Step) -> dict[str, Any]:
    """One step; `changes` has the old and the new value of each path in `diff`."""
    document: dict[str, Any] = {
        "op": step.op.value,
        "urn": step.urn,
        "type": step.type,
        "name": step.name,
        "diff": sorted(step.diff),
    }
    if step.diff:
        document["changes"] = {
            path: {"kind": change.kind.value, "old": readable(change.old), "new": readable(change.new)}
            for path, change in step.diff.items()
        }
    if step.replace_reasons:
        document["replaceReasons"] = list(step.replace_reasons)
    if step.note:
        document["note"] = step.note
    return document
