"""Whether two engines did the same: what each says of one life, in one form, and where the two differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from both_engines import Embedded, Moment, Side
from cloudmodel.engine import normal, planner
from cloudmodel.engine import urn as urns
from cloudmodel.engine.reporting import LATE
from cloudmodel.engine.run import Result
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Op, Step
from lifecycles import Key, Node, Program, Revision, prefixed, program

Lanes = Mapping[str, Revision]
MAKING = (Op.CREATE, Op.UPDATE, Op.CREATE_REPLACEMENT)
PREVIEWS = ("preview", "next change")
LANES = "abcdefghijklmnopqrstuvwxyz"
"""What programs side by side are called, in the names of their resources."""


def summed(result: Result) -> str:
    """What changed, in the order of the steps: `create a, update b, delete c`."""
    return ", ".join(f"{step.op.value} {step.name}" for step in result.steps if step.op not in (Op.SAME, Op.READ))


def told(result: Result) -> dict[str, Any]:
    """What a user is told: each step with what changes in it and why; what failed; how it ended."""
    error = result.error
    return {
        # How far a run came before it failed is chance, but for what it changed; see `_wait_for_each_other`.
        "steps": [_line(step) for step in result.steps if error is None or not _chance(step)],
        "failed": sorted({failed["urn"] for failed in error.details.get("failed", [])}) if error else [],
        "ended": type(error).__name__ if error else "",
        "exit code": error.code if error else 0,
    }


def _chance(step: Step) -> bool:
    """Whether it is chance that a failing run tells of the step: it needs no call that others could wait for."""
    return step.op in (Op.SAME, Op.REPLACE) or step.type == urns.STACK_TYPE


def _line(step: Step) -> tuple[str, str, dict[str, str], tuple[str, ...]]:
    diff = {path: change.kind.value for path, change in step.diff.items()}
    return step.op.value, step.urn, diff, step.replace_reasons


def recorded(state: State) -> dict[str, Any]:
    """A state in normal form, without the ids that each engine gives its providers."""
    ids = {entry.id: urns.split(entry.urn).name for entry in state.resources if urns.is_provider(entry.type)}

    def swapped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: swapped(item) for key, item in value.items()}
        if isinstance(value, list):
            return [swapped(item) for item in value]
        if isinstance(value, str):
            head, colons, tail = value.rpartition("::")
            return f"{head}{colons}{ids[tail]}" if tail in ids else value
        return value

    form = swapped(normal.normal_form(state))
    return {"pending": form["pending"]} | {entry["urn"] + ("!" if entry.get("delete") else ""): entry
                                           for entry in form["resources"]}  # fmt: skip


def called(side: Side) -> Counter[str]:
    """The calls that changed the cloud, with what they were given."""
    return Counter(
        f"{call.verb} {call.name} {sorted(call.arguments.items(), key=str)}" for call in side.cloud.mutations()
    )


def out_of_order(course: list[Moment], before: State, after: State, result: Result) -> list[str]:
    """Where calls came in an order that the dependencies forbid (the embedded engine's rule I13, Pulumi's own).

    What makes room for a replacement goes early: of that only those who use it in a way that forces them wait.
    """
    begins: dict[Key, int] = {}
    ends: dict[Key, int] = {}
    for index, moment in enumerate(course):
        call = moment.call
        key = (call.verb, call.arguments["id"] if call.verb == "delete" else call.name)
        (begins if moment.begins else ends)[key] = index
    made = max((index for (verb, _), index in ends.items() if verb != "delete"), default=-1)
    making = {step.urn for step in result.steps if step.op in MAKING}
    gone = {step.old.id for step in result.steps if step.op is Op.DELETE and step.old}

    def wrong(first: Key, then: Key) -> bool:
        return first in ends and then in begins and begins[then] < ends[first]

    found = []
    for entry in after.resources:
        if entry.delete or entry.urn not in making:  # then it depends on what it did before
            continue
        for needed in {urns.split(urn).name for _, urn in normal.references(entry)} - {entry.name}:
            for one in ("create", "update"):
                for other in ("create", "update"):
                    if wrong((one, needed), (other, entry.name)):
                        found.append(f"{other} {entry.name} before the end of {one} {needed}")
    ids = {entry.urn: entry.id for entry in before.resources if not entry.delete}
    for entry in before.resources:
        for needed in {ids.get(urn, "") for _, urn in normal.references(entry)} - {entry.id}:
            late = begins.get(("delete", needed), -1) > made
            if late and not entry.delete and wrong(("delete", entry.id), ("delete", needed)):
                found.append(f"delete {needed} before the end of delete {entry.id}")
    found += [f"delete {id} before the program was done" for id in gone if begins.get(("delete", id), made + 1) < made]
    return found


def made_first(course: list[Moment]) -> dict[str, str]:
    """For what was both made and deleted: which of the two began first."""
    first: dict[str, list[str]] = {}
    for moment in course:
        if moment.begins and moment.call.verb in ("create", "delete"):
            first.setdefault(moment.call.name, []).append(moment.call.verb)
    return {name: verbs[0] for name, verbs in first.items() if len(set(verbs)) > 1}


def differing(what: str, ours: Any, theirs: Any) -> Iterator[str]:
    """Where two answers differ, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}, key=str):
            yield from differing(f"{what}/{key}", ours.get(key), theirs.get(key))
    elif ours != theirs:
        yield f"{what}: embedded {ours!r}, official {theirs!r}"


def _steps_differing(what: str, ours: list[Any], theirs: list[Any]) -> Iterator[str]:
    yield from (f"{what}: embedded only {step}" for step in ours if step not in theirs)
    yield from (f"{what}: official only {step}" for step in theirs if step not in ours)
    if ours != theirs and sorted(ours, key=str) == sorted(theirs, key=str):
        moved = next((one, other) for one, other in zip(ours, theirs, strict=True) if one != other)
        yield f"{what}: another order from embedded {moved[0]}, official {moved[1]}"


class Life:
    """One life, or several side by side, on both engines. `steps` counts what was compared; `failed` says how the last
    run ended."""

    def __init__(self, embedded: Embedded, official: Side) -> None:
        self._embedded = embedded
        self.sides: tuple[Side, Side] = (embedded, official)
        self.steps = 0
        self.failed = False

    def run(self, lanes: Lanes) -> list[str]:
        """Carry the lanes' revisions out as one run on both engines, and say where they differ."""
        first = next(iter(lanes.values()))
        asked = tuple(prefixed(name, lane) for lane, revision in lanes.items() for name in revision.replace)
        script = program({lane: revision.nodes for lane, revision in lanes.items()}, raises=first.raises)
        troubled = any(revision.fail or revision.unready for revision in lanes.values())
        found: list[str] = []
        for side in self.sides:
            side.cloud.forget_calls()
            for lane, revision in lanes.items():
                _disturb(side, lane, revision)
        if first.verb == "up":
            options = {"refresh": first.refresh, "replace": self._urns(asked)}
            planned = [side.preview(script, **options) for side in self.sides]
            found += self._compared("preview", planned)
            found += [f"{side.name}'s preview changed the cloud" for side in self.sides if side.cloud.mutations()]
            if troubled:
                self._wait_for_each_other(planned[0], lanes)
        else:
            options = {}
            if troubled:
                self._wait_for_each_other(self._embedded.preview_destroy(), lanes)
        befores = [side.state for side in self.sides]
        results = [side.run(first.verb, script, **options) for side in self.sides]
        found += self._compared(first.verb, results)
        found += differing("state", *(recorded(side.state) for side in self.sides))
        found += differing("calls", *(called(side) for side in self.sides))
        found += differing("made first", *(made_first(side.cloud.course) for side in self.sides))
        found += differing("cloud", *(_held(side) for side in self.sides))
        for side, before, result in zip(self.sides, befores, results, strict=True):
            found += [f"{side.name}: {bad}" for bad in out_of_order(side.cloud.course, before, side.state, result)]
            side.cloud.failures.clear()
            side.cloud.unready.clear()
            side.cloud.waits.clear()
        return found

    def moved(self, now: Mapping[str, Iterable[Node]], then: Mapping[str, Iterable[Node]]) -> list[str]:
        """Exchange the states of the engines: each must find nothing to do, and plan the same next change."""
        embedded, official = self.sides
        exports = [side.export() for side in self.sides]
        embedded.take(exports[1])
        official.take(exports[0])
        found = []
        for side in self.sides:
            idle = side.preview(program(now))
            if idle.error or summed(idle):
                found.append(f"{side.name} finds after the move: {idle.error or summed(idle)}")
        return found + self._compared("next change", [side.preview(program(then)) for side in self.sides])

    def calls(self, lanes: Lanes) -> list[Key]:
        """The calls that make or change something, which a run of the lanes would make."""
        script = program({lane: revision.nodes for lane, revision in lanes.items()})
        return sorted(_makings(self._embedded.preview(script)))

    def _compared(self, what: str, results: list[Result]) -> list[str]:
        self.steps += len(results[0].steps)
        ours, theirs = (told(result) for result in results)
        self.failed = bool(ours["ended"])
        if what in PREVIEWS and self.failed:  # ours ends at the first refusal, Pulumi's goes on to show the rest
            for said in (ours, theirs):
                said |= {"steps": [], "failed": []}
        found = [*_steps_differing(what, ours.pop("steps"), theirs.pop("steps")), *differing(what, ours, theirs)]
        if found and any(result.error for result in results):
            found.append(f"{what} errors: {[str(result.error) for result in results]}")
        return found

    def _urns(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(entry.urn for entry in self.sides[0].state.resources if entry.name in names and not entry.delete)

    def _wait_for_each_other(self, planned: Result, lanes: Lanes) -> None:
        """What fails does so when everything that does not need it is done: else chance would decide what is."""
        failing = {
            (verb, prefixed(name, lane))
            for lane, revision in lanes.items()
            for verb, name in (*revision.fail, *revision.unready)
        }
        names = {name for _, name in failing}
        last = max((n for n, step in enumerate(planned.steps) if step.op not in LATE), default=-1)
        late = [step for step in planned.steps[last + 1 :] if "test/thing" in step.type]
        users = [entry for entry in planned.state.resources if entry.name in names and not entry.delete]
        behind = names | {item.name for one in users for item in planner.dependents(one.urn, planned.state.resources)}
        waited = {(verb, name) for verb, name in _makings(planned) if name not in behind}
        at_the_end = {("delete", step.name) for step in late}
        if failing & at_the_end:
            needed = names | _needed(names, self.sides[0].state)
            waited |= {("delete", step.name) for step in late if step.name not in needed}
        # While Pulumi makes room for a replacement it begins nothing else: a deletion that fails then does so at once.
        waiting = {key for key in failing if key[0] != "delete" or key in at_the_end}
        for side in self.sides:
            side.cloud.waits = dict.fromkeys(waiting, waited | waiting)


def _makings(planned: Result) -> set[Key]:
    return {
        ("update" if step.op is Op.UPDATE else "create", step.name)
        for step in planned.steps
        if step.op in MAKING and "test/thing" in step.type
    }


def _needed(names: set[str], state: State) -> set[str]:
    """The names of what `names` use, directly or not."""
    found = {
        urns.split(urn).name for entry in state.resources if entry.name in names for _, urn in normal.references(entry)
    }
    return found | (_needed(found - names, state) if found - names else set())


def _held(side: Side) -> dict[str, Any]:
    return {" ".join(key): value for key, value in side.cloud.things.items()}


def _disturb(side: Side, lane: str, revision: Revision) -> None:
    from cloudmodel.core.resource import ResourceFailure

    cloud = side.cloud
    entries = {entry.name: entry for entry in side.state.resources if not entry.delete}
    by_id = {key[2]: held for key, held in cloud.things.items()}
    for name, props in revision.stand.items():
        named = prefixed(name, lane)
        cloud.things["", "aws:test/thing:Thing", named] = {"name": named, **props}
    for name, props in revision.drift.items():
        by_id[entries[prefixed(name, lane)].id].update(props)
    for name in revision.gone:
        id = entries[prefixed(name, lane)].id
        for key in [key for key in cloud.things if key[2] == id]:
            del cloud.things[key]
    for verb, name in revision.fail:
        cloud.failures[verb, prefixed(name, lane)] = ResourceFailure("trouble")
    cloud.unready |= {(verb, prefixed(name, lane)) for verb, name in revision.unready}


def lived(life: Life, only: Program) -> list[str]:
    """Live one program on both engines, exchange the states, take everything down; what differs."""
    return together(life, {"": only})


def together(life: Life, programs: Mapping[str, Program]) -> list[str]:
    """The same for programs side by side, by the lane of each; what is over rests as it was."""
    found: list[str] = []
    lanes: dict[str, Revision] = {}
    for number in range(max(len(each.revisions) for each in programs.values())):
        for lane, each in programs.items():
            over = number >= len(each.revisions)
            lanes[lane] = Revision(each.revisions[-1].nodes) if over else each.revisions[number]
        found += [f"revision {number + 1}: {line}" for line in life.run(lanes)]
    if all(revision.verb == "up" for revision in lanes.values()) and not life.failed:
        now = {lane: each.revisions[-1].nodes for lane, each in programs.items()}
        found += life.moved(now, {lane: each.revisions[0].nodes for lane, each in programs.items()})
    if life.sides[0].state.resources:
        found += [f"destroy: {line}" for line in life.run({"": Revision(verb="destroy")})]
    return found
