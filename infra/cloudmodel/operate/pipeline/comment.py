"""The one comment under a pull request: what would change, in the order in which a reviewer asks.

Verdict and totals, what failed, what cannot be taken back, the model, warnings, the resources (folded). Of properties
it tells the names; of values only numbers, switches and instance types, of a container's environment the keys alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cloudmodel.engine.urn import short_type
from cloudmodel.operate.pipeline.canaries import KEYED
from cloudmodel.operate.pipeline.documents import (
    Change,
    Difference,
    Drifted,
    Failed,
    Plan,
    Said,
    Search,
    Step,
    of,
)
from cloudmodel.operate.pipeline.markdown import PART, block, code, cut, folded
from cloudmodel.operate.pipeline.model import difference, proposal, search

LONGEST = 64_000
"""Bytes. GitHub takes 65,536 characters of a comment, GitLab a million."""
AROUND = 1_000
"""Bytes around the resources: fences (a line has at most that many backticks), summary, fold."""
NAMED = 8
"""Failures that the verdict names; a pipeline has fewer commands."""
SIGNS = {
    "create": "+", "create-replacement": "+", "import": "+", "update": "!", "replace": "!", "refresh": "!",
    "delete": "-", "delete-replaced": "-",
}  # fmt: skip
TOTALS = ("create", "update", "replace", "delete", "import", "refresh")
"""The first four are told also where there are none."""
GONE = {"delete", "replace"}
LOST = {
    "aws:s3/bucket:Bucket": "every object in it is lost",
    "aws:kms/key:Key": "what it encrypts can never be read again once its waiting time is over",
    "aws:cloudwatch/logGroup:LogGroup": "the logs in it are lost",
    "aws:sagemaker/endpoint:Endpoint": "requests fail until it is made again, and its name is free meanwhile",
    "aws:sns/topicSubscription:TopicSubscription": "whoever is subscribed by mail has to confirm it again",
}
"""What nobody can bring back, by the type of what is deleted or replaced."""
WORDS = {"add": "added", "delete": "removed", "update": "changed"}
INSTANCE = re.compile(r"ml\.[a-z0-9-]{1,20}\.[a-z0-9-]{1,20}|\[(?:secret|unknown)\]")


def marker(project: str, stack: str) -> str:
    """What the comment of a stack begins with, invisible; by it the next run finds the comment to edit."""
    return f"<!-- cloudmodel {project}/{stack} -->".replace("--", "-~-").replace("<!-~-", "<!--").replace("-~->", "-->")


def comment(project: str, stack: str, said: Sequence[Said], address: str = "") -> str:
    """The comment as Markdown of at most LONGEST bytes; `address` is that of the pipeline's run."""
    plans, failures = list(of(said, Plan)), [each for each in said if isinstance(each.document, Failed)]
    steps = [step for plan in plans for step in plan.steps]
    lost = list(_lost(steps))
    parts = [
        f"#### cloudmodel {code(f'{project}/{stack}')}",
        _verdict(plans, failures, list(of(said, Difference)), list(of(said, Drifted)), lost),
        *(_where(plan) for plan in plans[:1]),
        *(_failure(each.name, each.document) for each in failures[:2] if isinstance(each.document, Failed)),
        _part("Irreversible", lost),
        *(_part("Model", list(difference(each))) for each in list(of(said, Difference))[:1]),
        _part("Optimization", [line for each in of(said, Search) for line in search(each)]),
        proposal(stack, said, plans),
        _part("Drift", [line for each in of(said, Drifted) for line in _drift(each)]),
        _part("Warnings", [f"- {code(text)}" for text in _warnings(said)]),
        f"[The run that wrote this]({address})" if re.fullmatch(r"https?://[\w./:%-]+", address) else "",
    ]
    told = [part for part in parts if part]
    first = marker(project, stack)
    room = LONGEST - sum(len(part.encode()) + 2 for part in (first, *told)) - AROUND
    resources = list(_resources(steps))
    if resources:
        told.append(folded(f"Resources: {_totals(plans)}", block(resources, max(room, 0), "diff")))
    return "\n\n".join([first, *told]) + "\n"


def _part(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"##### {title}", *cut(lines, PART)]) if lines else ""


def _verdict(
    plans: Sequence[Plan],
    failures: Sequence[Said],
    differences: Sequence[Difference],
    drifts: Sequence[Drifted],
    lost: Sequence[str],
) -> str:
    failed = [
        f"**{code(each.name)} failed** (exit code {each.document.code})"
        for each in failures[:NAMED]
        if isinstance(each.document, Failed)
    ]
    if len(failures) > NAMED:
        failed.append(f"**{len(failures) - NAMED} more failed**")
    if plans:
        first = "**Changes**" if any(_changes(plan) for plan in plans) else "**No changes**"
    elif drifts:
        first = "**Drift**" if any(each.verdict != "none" for each in drifts) else "**No drift**"
    else:
        first = "**No plan**"
    more = [*([_totals(plans)] if plans else []), *failed]
    if any(each.breaking for each in differences):
        more.append("**callers break**")
    if lost:
        more.append(f"**{len(lost)} irreversible**")
    return " · ".join([first, *more])


def _totals(plans: Sequence[Plan]) -> str:
    counts = Counter(dict.fromkeys(TOTALS[:4], 0))
    for plan in plans:
        counts.update(plan.summary)
    told = [f"{counts[name]} to {name}" for name in TOTALS if name in counts]
    return ", ".join([*told, f"{counts['same']} unchanged"])


def _changes(plan: Plan) -> bool:
    return any(step.op not in ("same", "read") for step in plan.steps)


def _where(plan: Plan) -> str:
    account = f"account {code(plan.account)}" if plan.account else "no credentials were used"
    return f"target {code(plan.target)}, {account}, region {code(plan.region)}, engine {code(plan.engine)}"


def _failure(name: str, failed: Failed) -> str:
    lines = [*failed.message.splitlines()]
    lines += [f"{label}: {text}" for label, text in (("where", failed.where), ("next", failed.hint)) if text]
    return f"##### {code(name)} failed: {code(failed.error)} (exit code {failed.code})\n" + block(lines, PART)


def _lost(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        if step.op in GONE and step.type in LOST:
            yield f"- **{step.op}** {code(short_type(step.type))} {code(step.name)}: {LOST[step.type]}"


def _drift(found: Drifted) -> Iterator[str]:
    for each in found.infrastructure:
        yield f"- {code(str(each.get('urn', '')).rsplit('::', 1)[-1])}: {code(each.get('property', ''))}"
    for each in found.serving:
        yield f"- {code(each.get('endpoint', ''))} {code(each.get('what', ''))}"


def _warnings(said: Sequence[Said]) -> Iterator[str]:
    for each in said:
        if each.document is None:
            yield f"{each.name}: its command wrote no document, see the run's log"
        if isinstance(each.document, Plan | Drifted):
            yield from each.document.warnings


def _resources(steps: Iterable[Step]) -> Iterator[str]:
    """A line a step, and one a property that changes."""
    for step in steps:
        sign = SIGNS.get(step.op)
        if sign is None or step.type.startswith("pulumi:providers:"):
            continue
        yield f"{sign} {step.op} {short_type(step.type)} {step.name}"
        for path, change in sorted(step.changes.items()):
            forced = "  (forces the replacement)" if path in step.replaceReasons else ""
            for line in _properties(path, change):
                yield f"{sign}     {line}{forced}"


def _properties(path: str, change: Change) -> Iterator[str]:
    """What is told of one property. Of a whole environment that changes: its keys."""
    word = WORDS.get(change.kind.removesuffix("-replace"), "changed")
    if KEYED.search(path) and any(isinstance(value, dict) for value in (change.old, change.new)):
        old, new = (value if isinstance(value, dict) else {} for value in (change.old, change.new))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key) or "[secret]" in (old.get(key), new.get(key)):
                yield f"{path}.{key} {'added' if key not in old else 'removed' if key not in new else 'changed'}"
        return
    values = [] if KEYED.search(path) else [_value(change.old), _value(change.new)]
    yield f"{path}: {values[0]} → {values[1]}" if values and all(values) else f"{path} {word}"


def _value(value: Any) -> str:
    """A value that may be read by anybody; empty for all others."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return value if isinstance(value, str) and INSTANCE.fullmatch(value) else ""
