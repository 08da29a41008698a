"""The one comment under a pull request: what would change, in the order in which a reviewer asks.

Verdict and totals, what failed, what cannot be taken back, the model, warnings, the resources (folded). Of properties
it tells the names; of values only numbers, switches and instance types, of a container's environment the keys alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from cloudmodel.core.naming import DIGEST
from cloudmodel.engine.urn import short_type
from cloudmodel.operate.pipeline.canaries import KEYED
from cloudmodel.operate.pipeline.documents import (
    Change,
    Difference,
    Drifted,
    Failed,
    Interval,
    Packaged,
    Plan,
    Proof,
    Said,
    Search,
    Step,
)
from cloudmodel.operate.pipeline.markdown import block, code, cut, folded

LONGEST = 64_000
"""Bytes. GitHub takes 65,536 characters of a comment, GitLab a million."""
PART = 8_000
"""Bytes of each part but the resources, which take what is left."""
AROUND = 1_000
"""Bytes around the resources: fences (a line has at most that many backticks), summary, fold."""
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
Kind = TypeVar("Kind")


def marker(project: str, stack: str) -> str:
    """What the comment of a stack begins with, invisible; by it the next run finds the comment to edit."""
    return f"<!-- cloudmodel {project}/{stack} -->".replace("--", "-~-").replace("<!-~-", "<!--").replace("-~->", "-->")


def comment(project: str, stack: str, said: Sequence[Said], address: str = "") -> str:
    """The comment as Markdown of at most LONGEST bytes; `address` is that of the pipeline's run."""
    plans, failures = list(_each(said, Plan)), [each for each in said if isinstance(each.document, Failed)]
    steps = [step for plan in plans for step in plan.steps]
    lost = list(_lost(steps))
    parts = [
        f"#### cloudmodel {code(f'{project}/{stack}')}",
        _verdict(plans, failures, list(_each(said, Difference)), list(_each(said, Drifted)), lost),
        *(_where(plan) for plan in plans[:1]),
        *(_failure(each.name, each.document) for each in failures[:2] if isinstance(each.document, Failed)),
        _part("Irreversible", lost),
        *(_part("Model", list(_model(each))) for each in list(_each(said, Difference))[:1]),
        _part("Optimization", [line for each in _each(said, Search) for line in _search(each)]),
        _proposal(stack, said, plans),
        _part("Drift", [line for each in _each(said, Drifted) for line in _drift(each)]),
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


def _each(said: Iterable[Said], kind: type[Kind]) -> Iterator[Kind]:
    return (each.document for each in said if isinstance(each.document, kind))


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
        for each in failures
        if isinstance(each.document, Failed)
    ]
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


def _model(found: Difference) -> Iterator[str]:
    yield f"- bundle {code(found.before.digest or 'unpacked')} → {code(found.after.digest or 'unpacked')}"
    yield f"- size {_sizes(found.before.size_bytes, found.after.size_bytes)}"
    yield f"- callers: {'**breaking**' if found.breaking else 'compatible'}"
    if found.before.signed != found.after.signed:
        yield f"- {'signed now' if found.after.signed else '**not signed any more**'}"
    for each in found.signature:
        mark = "**breaking**" if each.breaking else "compatible"
        what = f"{code(each.side)} {code(each.name)} {code(each.change)}" if each.name else code(each.change)
        yield f"    - {what}: {code(_short(each.before))} → {code(_short(each.after))} ({mark})"
    if found.precision:
        yield f"- precision {_shares(found.precision.before)} → {_shares(found.precision.after)}"
    for label, proof in (("before", found.optimization.before), ("after", found.optimization.after)):
        if proof:
            yield f"- proven {label}: {_proof(proof)}"
    for key, pair in found.facts.items():
        yield f"- {code(key)}: {code(_short(pair.before))} → {code(_short(pair.after))}"
    for title, names in (("files", found.files), ("versions", found.versions)):
        told = [
            f"{kind} {', '.join(map(code, listed[:20]))}{' …' if len(listed) > 20 else ''}"
            for kind, listed in (("added", names.added), ("removed", names.removed), ("changed", names.changed))
            if listed
        ]
        yield f"- {title}: {'; '.join(told) or 'the same'}"


def _proof(proof: Proof) -> str:
    """The numbers of a bundle against its own original."""
    fidelity = "" if proof.fidelity is None else f", fidelity {proof.fidelity:.4f}"
    return (
        f"{code(proof.metric)} {proof.value:.4f}, change {_interval(proof.delta, '+.4f')}{fidelity}, "
        f"{_interval(proof.latency_ratio, '.3g')} times as fast"
    )


def _search(found: Search) -> Iterator[str]:
    yield f"- {code(found.reason)}"
    for trial in found.trials:
        if trial.id == found.chosen and trial.latency_ratio and trial.metric_delta and trial.size_bytes is not None:
            fidelity = "" if trial.fidelity is None else f", fidelity {trial.fidelity:.4f}"
            yield (
                f"- {code(trial.title)}: {_interval(trial.latency_ratio, '.3g')} times as fast, {code(found.metric)} "
                f"{_interval(trial.metric_delta, '+.4f')}{fidelity}, "
                f"size {_sizes(found.baseline.size_bytes, trial.size_bytes)}"
            )


def _proposal(stack: str, said: Sequence[Said], plans: Sequence[Plan]) -> str:
    """What to commit so that the model of this change is deployed, where something else is pinned."""
    made = [each.bundle for each in _each(said, Search)] + [each.digest for each in _each(said, Packaged)]
    digest = next((each for each in made if each and DIGEST.fullmatch(each)), None)
    if digest is None or any(digest in _served(plan.outputs) for plan in plans):
        return ""
    line = block([f"cloudmodel:bundle: {digest}"], PART, "yaml")
    return f"This model is not what the stack pins. To deploy it, write into {code(f'Pulumi.{stack}.yaml')}:\n\n{line}"


def _served(outputs: Mapping[str, Any]) -> set[str]:
    """The bundles that a stack's outputs name: the first variant's, and all where it lists several."""
    listed = outputs.get("variants")
    variants = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {str(each.get("bundle_digest")) for each in (outputs, *variants)}


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


def _interval(found: Interval, form: str) -> str:
    return f"{found.mid:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _sizes(before: int, after: int) -> str:
    share = f" ({100 * (after - before) / before:+.1f} %)" if before and before != after else ""
    return f"{before:,} → {after:,} bytes{share}"


def _shares(found: Mapping[str, float] | None) -> str:
    if not found:
        return "unknown"
    ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{code(name)} {100 * share:.1f} %" for name, share in ordered[:8])


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
