"""What to do about one resource, and in which order things are deleted: pure functions, no client anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cloudmodel.core.resource import Difference, DiffKind
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import forced, replacing
from cloudmodel.engine.goal import Alias, Goal
from cloudmodel.engine.normal import ordered, references
from cloudmodel.engine.state import Key, Resource
from cloudmodel.engine.step import Op

# What an operation of a plan also allows (source: pulumi `pkg/resource/deploy/step.go`, StepOp constraints).
ALLOWED: Mapping[Op, frozenset[Op]] = {
    Op.UPDATE: frozenset({Op.UPDATE}),
    Op.REPLACE: frozenset({Op.UPDATE, Op.REPLACE}),
    Op.CREATE_REPLACEMENT: frozenset({Op.UPDATE, Op.CREATE_REPLACEMENT}),
    Op.DELETE_REPLACED: frozenset({Op.UPDATE, Op.DELETE_REPLACED}),
}
ALWAYS_ALLOWED = frozenset({Op.SAME, Op.READ, Op.REFRESH})


@dataclass(frozen=True)
class Plan:
    """What a preview found: the operations of each URN, the paths that change in it, and a digest of what it sets."""

    ops: Mapping[str, tuple[Op, ...]] = field(default_factory=dict)
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def differing(self, other: Plan) -> tuple[str, ...]:
        """The URNs that `other` does something else about, sorted."""
        parts = ((self.ops, other.ops), (self.paths, other.paths), (self.values, other.values))
        urns = {urn for mine, theirs in parts for urn in {*mine, *theirs} if mine.get(urn) != theirs.get(urn)}
        return tuple(sorted(urns))

    def refuses(self, op: Op, urn: str, paths: Iterable[str]) -> str | None:
        """Why the plan does not allow `op` on `urn` with changes at `paths`, or None where it does."""
        if op in ALWAYS_ALLOWED:
            return None
        planned = self.ops.get(urn, ())
        if not any(op in ALLOWED.get(other, frozenset({other})) for other in planned):
            expected = ", ".join(other.value for other in planned) or "no steps"
            return f"{op.value} is not allowed by the plan: {expected} expected for this resource"
        unplanned = sorted(set(paths) - set(self.paths.get(urn, ())))
        if unplanned:
            return f"{op.value} is not allowed by the plan: it would also change {', '.join(unplanned)}"
        return None


@dataclass(frozen=True)
class Decision:
    """What to do about a resource that stands: same, update or replace, and why."""

    op: Op
    changes: Mapping[str, DiffKind] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    delete_first: bool = False


def decide(old: Resource, goal: Goal, difference: Difference) -> Decision:
    """Same, update or replace, from the provider's word and the program's options."""
    changes = forced(difference.changes, goal.replace_on_changes)
    reasons = tuple(sorted(path for path, kind in changes.items() if kind == replacing(kind)))
    if reasons or old.pending_replacement:
        return Decision(Op.REPLACE, changes, reasons, _first(goal, difference.delete_before_replace))
    if changes or old.init_errors:
        return Decision(Op.UPDATE, changes)
    return Decision(Op.SAME)


def compelled(goal: Goal, reason: str) -> Decision:
    """A replacement for a `reason` that is no property of the resource; its provider is not asked."""
    return Decision(Op.REPLACE, {}, (reason,), _first(goal, False))


def _first(goal: Goal, delete_before_replace: bool) -> bool:
    return delete_before_replace if goal.delete_before_replace is None else goal.delete_before_replace


def deletion_order(doomed: Iterable[Resource]) -> dict[Key, set[Key]]:
    """For each entry to delete, in topological order, the keys of those that must be gone before it: the ones that
    need it (I13)."""
    in_order = ordered(doomed)
    position = {entry.key: index for index, entry in enumerate(in_order)}
    by_urn: dict[str, list[Resource]] = defaultdict(list)
    for entry in in_order:
        by_urn[entry.urn].append(entry)
    waits: dict[Key, set[Key]] = {entry.key: set() for entry in in_order}
    for entry in in_order:
        for _, urn in references(entry):
            for needed in by_urn.get(urn, ()):
                if position[needed.key] < position[entry.key]:
                    waits[needed.key].add(entry.key)
    return waits


def dependents(urn: str, entries: Iterable[Resource]) -> Iterator[Resource]:
    """The live custom resources that use `urn`, directly or not, each after those it depends on."""
    reached = {urn}
    for entry in ordered(entries):
        if entry.delete or entry.urn == urn or reached.isdisjoint(entry.dependencies):
            continue
        reached.add(entry.urn)
        if entry.custom and not entry.external and not urns.is_provider(entry.type):
            yield entry


def former_urns(
    goal: Goal, urn: str, *, stack: str, project: str, parent_before: str, standard_parent: str
) -> tuple[str, ...]:
    """The URNs that `goal` may have had before, the likeliest first.

    `parent_before` is the URN that its parent was found under, where that differs from today's; `standard_parent` is
    the stack's URN, the parent of what has none.
    """
    today = urns.split(urn)
    found: list[str] = []
    for alias in (*goal.aliases, *([Alias()] if parent_before else [])):
        if alias.urn:
            found.append(alias.urn)
            continue
        named = alias.parent or (standard_parent if alias.no_parent else goal.parent)
        for parent, inherited in ((named, False), (parent_before, True)):
            if not parent or (inherited and (alias.parent or alias.no_parent)):
                continue
            name = alias.name or today.name
            if inherited and not alias.name:
                name = _inherited_name(today.name, urns.split(goal.parent).name, urns.split(parent).name)
            type = alias.type or goal.type
            found.append(urns.make(alias.stack or stack, alias.project or project, parent, type, name))
    return tuple(dict.fromkeys(former for former in found if former != urn))


def _inherited_name(name: str, parent_now: str, parent_before: str) -> str:
    """A child that is called after its parent followed the parent's name."""
    return parent_before + name.removeprefix(parent_now) if name.startswith(parent_now) else name
