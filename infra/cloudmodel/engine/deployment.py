"""One evaluation of a program against a stack: what each registration leads to, and the deletions at its end."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

from cloudmodel.core.resource import UNKNOWN, Difference, Properties, Provider, ResourceFailure
from cloudmodel.engine import assets, planner
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import changed_keys, described, forced, with_ignored
from cloudmodel.engine.executor import Executor, completed, now, same
from cloudmodel.engine.goal import Goal, entry
from cloudmodel.engine.providers import Providers
from cloudmodel.engine.registry import Registry, Settings, accept
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.teardown import RETAINED, gone_with, protected
from cloudmodel.engine.values import annotated, plain, with_secret_keys, without_references

SEED_BYTES = 32
GET_RESOURCE = "pulumi:pulumi:getResource"
ASKED = "id"  # the property that Pulumi names where the user asked for the replacement


class BadRequest(Exception):
    """The program asked for something impossible; it learns so at that line and may go on."""


class Deployment:
    """Turns goals into steps, as the program asks for them; safe for many threads at once."""

    def __init__(self, settings: Settings, executor: Executor, instances: Providers) -> None:
        self.settings = settings
        self.executor = executor
        self.registry = Registry(settings, executor, instances)
        self.ledger = executor.ledger
        self.stack_urn = urns.make(
            settings.stack, settings.project, "", urns.STACK_TYPE, f"{settings.project}-{settings.stack}"
        )
        self._lock = threading.Lock()
        self._cascade = threading.Lock()
        self._seen: set[str] = set()
        self._found_under: dict[str, str] = {}
        self._being_deleted: dict[str, threading.Event] = {}
        self._cleared: dict[str, tuple[str, ...]] = {}
        self._replaced: set[str] = set()
        self._exports: Properties | None = None

    # What the program asks

    def register(self, goal: Goal) -> Resource:
        """Bring one resource to what `goal` says and return its entry. Raises BadRequest and Halted."""
        urn = self._reserve(goal.parent, goal.type, goal.name)
        self.executor.reporter.masker.learn(goal.inputs)
        goal = self._with_hashes(goal)
        if goal.custom and not urns.is_provider(goal.type):
            goal, provider = self.registry.provided(goal)
            with self.executor.slot():
                return self._custom(goal, urn, provider, self._found(goal, urn))
        with self.executor.slot():
            old = self._found(goal, urn)
            return self.registry.register(goal, urn, old) if goal.custom else self._component(goal, urn, old)

    def read(self, goal: Goal, id: str) -> Resource:
        """Read the resource `id` that others own (`.get()`) and return its entry. Raises BadRequest and Halted."""
        urn = self._reserve(goal.parent, goal.type, goal.name)
        goal, provider = self.registry.provided(goal)
        with self.executor.slot():
            old = self.ledger.live(urn)
            wanted = replace(entry(goal, urn, without_references(goal.inputs)), external=True, id=id)
            if id in ("", UNKNOWN):
                return wanted
            step = Step(op=Op.READ, urn=urn, type=goal.type, old=old, new=wanted)
            doomed = self._displaced(old, id, step)
            with self.executor.guarded(step):
                bare = plain(wanted.inputs)
                live = provider.read(urn, goal.type, id, bare, bare)
                if live is None:
                    raise ResourceFailure(f"there is no {goal.type} with the id '{id}'")
            self.executor.reporter.masker.learn(goal.inputs)
            return self.executor.write(completed(wanted, live), *_taking_the_place_of(doomed, step), doomed=doomed)

    def outputs(self, urn: str, outputs: Properties) -> None:
        """Record the outputs of a component; keep those of the stack until `end`. Raises BadRequest and Halted."""
        self.executor.reporter.masker.learn(outputs)
        current = self.ledger.live(urn)
        if current is None or urn not in self._seen:
            raise BadRequest(f"outputs for a resource that was not registered: {urn}")
        if urn == self.stack_urn:
            self._exports = outputs
            return
        self.executor.note(replace(current, outputs=outputs))

    def invoke(self, token: str, arguments: Properties, provider: str, version: str) -> Properties:
        """Call a function of a package; `arguments` are plain. Raises BadRequest, ResourceFailure and Halted."""
        if token == GET_RESOURCE:
            return self._get_resource(str(arguments.get("urn", "")))
        self.executor.control.check()
        _, instance = self.registry.provided(Goal(type=token, name=token, provider=provider, version=version))
        return instance.invoke(token, arguments)

    def _get_resource(self, urn: str) -> Properties:
        found = self.ledger.live(urn)
        if found is None:
            raise BadRequest(f"there is no resource {urn}")
        return {"urn": urn, "id": found.id, "state": found.outputs}

    # Names

    def _reserve(self, parent: str, type: str, name: str) -> str:
        urn = urns.make(self.settings.stack, self.settings.project, parent, type, name)
        with self._lock:
            if urn in self._seen:
                raise BadRequest(f"duplicate resource URN '{urn}'; try giving it a unique name")
            self._seen.add(urn)
            deleting = self._being_deleted.get(urn)
        if deleting:
            deleting.wait()
        return urn

    def _found(self, goal: Goal, urn: str) -> Resource | None:
        """The entry that `goal` continues: under its own URN, or under one it had before (then renamed)."""
        own = self.ledger.live(urn)
        if own is not None:
            return own
        candidates = planner.former_urns(
            goal,
            urn,
            stack=self.settings.stack,
            project=self.settings.project,
            parent_before=self._found_under.get(goal.parent, ""),
            standard_parent=self.stack_urn,
        )
        for former in candidates:
            old = self.ledger.live(former)
            with self._lock:
                if old is None or former in self._seen:
                    continue
                self._found_under[urn] = former
            with self.executor.guarded(same(old, old)):
                return self.ledger.rename(old, urn)
        return None

    def _with_hashes(self, goal: Goal) -> Goal:
        inputs = without_references(goal.inputs) if goal.custom else goal.inputs
        try:
            return replace(goal, inputs=assets.hashed(inputs, self.settings.folder))
        except (OSError, ValueError) as error:
            raise BadRequest(f"{goal.type} '{goal.name}': {error}") from None

    # Components

    def _component(self, goal: Goal, urn: str, old: Resource | None) -> Resource:
        made = entry(goal, urn, goal.inputs, old=old)
        if old is None:
            stamped = replace(made, created=now(), modified=now())
            return self.executor.write(stamped, Step(op=Op.CREATE, urn=urn, type=goal.type, new=stamped))
        changes = changed_keys(plain(old.inputs), plain(goal.inputs))
        if not changes:
            return self.executor.write(made, same(made, old))
        diff = described(changes, old.inputs, goal.inputs)
        step = Step(op=Op.UPDATE, urn=urn, type=goal.type, diff=diff, old=old, new=made)
        return self.executor.write(replace(made, modified=now()), step)

    # Custom resources

    def _custom(self, goal: Goal, urn: str, provider: Provider, old: Resource | None) -> Resource:
        if goal.import_id and (old is None or old.external or old.id != goal.import_id):
            return self._import(goal, urn, provider, old)
        if old is None or old.external:
            made = self._checked(goal, urn, provider, None, Op.CREATE)
            first, *also = _taking_the_place_of(old, Step(op=Op.CREATE, urn=urn, type=goal.type, old=old, new=made))
            return self.executor.create(made, provider, step=first, also=also, doomed=old)
        if urn in self._cleared:
            made = self._checked(goal, urn, provider, None, Op.REPLACE)
            step = Step(op=Op.REPLACE, urn=urn, type=goal.type, old=old)
            return self._recreate(made, provider, step, self._cleared[urn])
        wanted, reason = goal, self._compelled_by(goal, urn, old)
        goal = replace(goal, inputs=with_ignored(goal.inputs, old.inputs, goal.ignore_changes))
        made = self._checked(goal, urn, provider, None if reason == ASKED else old, Op.UPDATE)
        decision = planner.compelled(goal, reason) if reason else self._decided(goal, provider, old, made)
        diff = described(decision.changes, old.inputs, made.inputs)
        step = Step(
            op=decision.op,
            urn=urn,
            type=goal.type,
            diff=diff,
            replace_reasons=decision.reasons,
            old=old,
            new=made,
        )
        if decision.op is Op.SAME:
            outputs = annotated(with_secret_keys(old.outputs, goal.additional_secret_outputs), made.inputs)
            return self.executor.write(replace(made, outputs=outputs), step)
        if decision.op is Op.UPDATE:
            return self.executor.update(made, old, provider, step=step)
        return self._replace(wanted, provider, old, decision.delete_first, step)

    def _compelled_by(self, goal: Goal, urn: str, old: Resource) -> str:
        """What replaces the resource whatever its provider says; empty for nothing."""
        if urn in self.settings.replace or old.urn in self.settings.replace:
            return ASKED
        if goal.deleted_with in self._replaced:
            return "deletedWith"
        before, after = old.provider, goal.provider
        if not before or urns.provider_urn(before) == urns.provider_urn(after):
            return ""
        return "" if urns.is_default_provider(before) and urns.is_default_provider(after) else "provider"

    def _decided(self, goal: Goal, provider: Provider, old: Resource, made: Resource) -> planner.Decision:
        step = Step(op=Op.UPDATE, urn=made.urn, type=goal.type, old=old, new=made)
        with self.executor.guarded(step):
            difference = self._difference(provider, old, made.inputs)
        return planner.decide(old, goal, difference)

    @staticmethod
    def _difference(provider: Provider, old: Resource, news: Properties) -> Difference:
        return provider.diff(old.urn, old.type, old.id, plain(old.inputs), plain(old.outputs), plain(news))

    def _checked(self, goal: Goal, urn: str, provider: Provider, old: Resource | None, op: Op) -> Resource:
        """The entry that `goal` asks for, with inputs that the provider accepted."""
        step = Step(op=op, urn=urn, type=goal.type, old=old)
        with self.executor.guarded(step):
            olds = plain(old.inputs) if old else None
            checked = provider.check(urn, goal.type, olds, plain(goal.inputs), os.urandom(SEED_BYTES))
            accept(goal, checked)
        inputs = annotated(checked.inputs, goal.inputs)
        self.executor.reporter.masker.learn(inputs)
        return entry(goal, urn, inputs, old=old)

    def _import(self, goal: Goal, urn: str, provider: Provider, old: Resource | None) -> Resource:
        made = self._checked(goal, urn, provider, None, Op.IMPORT)
        step = Step(op=Op.IMPORT, urn=urn, type=goal.type, old=old, new=made)
        doomed = self._displaced(old, goal.import_id, step)
        with self.executor.guarded(step):
            live = provider.read(urn, goal.type, goal.import_id, plain(made.inputs), {})
            if live is None:
                raise ResourceFailure(f"there is no {goal.type} with the id '{goal.import_id}' to import")
            adopted = replace(completed(made, live), created=now(), modified=now())
            found = replace(adopted, inputs=live.inputs or made.inputs)
            wanted = with_ignored(made.inputs, found.inputs, goal.ignore_changes)
            differing = sorted(self._difference(provider, found, wanted).changes)
            if differing:
                message = f"the inputs do not match the existing resource: {', '.join(differing)}"
                if not self.executor.preview:
                    raise ResourceFailure(message)
                self.executor.reporter.say("warning", f"{message}; the import will fail", urn)
        self.executor.reporter.masker.learn(adopted.outputs)
        steps = _taking_the_place_of(old, step)
        return self.executor.write(replace(adopted, inputs=wanted), *steps, doomed=doomed)

    # Replacement

    def _displaced(self, old: Resource | None, id: str, step: Step) -> Resource | None:
        """What we own under this URN when it is to be the resource `id` of the cloud: it is deleted at the end."""
        if old is None or old.external or old.id == id:
            return None
        if old.protect:
            raise self.executor.failed(step, protected(old, "replaced"))
        return old

    def _replace(self, goal: Goal, provider: Provider, old: Resource, delete_first: bool, step: Step) -> Resource:
        """Make `old` anew as `goal` says: nothing of the old inputs is kept, not even what the program ignores."""
        if old.protect and goal.protect:
            raise self.executor.failed(step, protected(old, "replaced"))
        if goal.import_id:
            problem = "a resource that still names an id to import cannot be replaced; remove `import_` from it"
            raise self.executor.failed(step, ResourceFailure(problem))
        made = self._checked(goal, old.urn, provider, None, Op.REPLACE)
        with self._lock:
            self._replaced.add(old.urn)
        if delete_first:
            self._make_room(old, step)
        if delete_first or old.pending_replacement:
            return self._recreate(made, provider, step, step.replace_reasons)
        creation = replace(step, op=Op.CREATE_REPLACEMENT)
        doomed = replace(old, urn=self._found_under.get(old.urn, old.urn))
        return self.executor.create(replace(made, id=""), provider, step=creation, also=(step,), doomed=doomed)

    def _recreate(self, made: Resource, provider: Provider, step: Step, reasons: tuple[str, ...]) -> Resource:
        """Make what was deleted already: it counts as replaced from here on, whether it can be made or not."""
        with self._lock:
            self._replaced.add(made.urn)
        gone = self.ledger.live(made.urn)
        if gone is not None:
            self.executor.write(gone, step)
        creation = replace(step, op=Op.CREATE_REPLACEMENT, replace_reasons=reasons)
        return self.executor.create(replace(made, id=""), provider, step=creation)

    def _make_room(self, root: Resource, step: Step) -> None:
        """Delete `root`, and before it every dependent that its replacement forces to be replaced too."""
        claimed: list[Resource] = []
        with self._cascade:
            try:
                self._claim_victims(root, claimed)
                for victim in reversed(claimed):
                    if victim.protect:
                        raise self.executor.failed(step, protected(victim, "replaced"))
                going = {root.urn, *(victim.urn for victim in claimed)}
                for victim in (*reversed(claimed), root):
                    if not victim.pending_replacement:
                        self._delete(victim, going)
            finally:
                with self._lock:
                    for victim in claimed:
                        self._being_deleted.pop(victim.urn).set()

    def _claim_victims(self, root: Resource, claimed: list[Resource]) -> None:
        """Put the dependents of `root` that must be replaced with it into `claimed`; none is registered meanwhile."""
        replaced = {root.urn}
        for dependent in planner.dependents(root.urn, self.ledger.entries()):
            if dependent.pending_replacement:
                replaced.add(dependent.urn)
                continue
            reasons = self._dragged_along(dependent, replaced)
            if reasons is None:
                continue
            with self._lock:
                if dependent.urn in self._seen:
                    continue
                self._being_deleted[dependent.urn] = threading.Event()
                self._cleared[dependent.urn] = reasons
            replaced.add(dependent.urn)
            claimed.append(dependent)

    def _dragged_along(self, dependent: Resource, replaced: set[str]) -> tuple[str, ...] | None:
        """The properties for which `dependent` must be replaced with what it uses; None where it need not be."""
        if dependent.deleted_with in replaced:
            return ()
        unknown = {
            key: UNKNOWN
            for key, sources in dependent.property_dependencies.items()
            if key in dependent.inputs and not replaced.isdisjoint(sources)
        }
        if not unknown:
            return None
        step = Step(op=Op.REPLACE, urn=dependent.urn, type=dependent.type, old=dependent)
        with self.executor.guarded(step):
            provider = self.registry.of(dependent)
            difference = self._difference(provider, dependent, dependent.inputs | unknown)
        changes = forced(difference.changes, dependent.replace_on_changes)
        return Difference(changes).replaces or None

    def _delete(self, doomed: Resource, going: set[str]) -> None:
        former = self._found_under.get(doomed.urn, doomed.urn)
        step = Step(op=Op.DELETE_REPLACED, urn=former, type=doomed.type, old=doomed)
        provider = None
        if doomed.retain_on_delete:
            step = replace(step, note=RETAINED)
        elif doomed.deleted_with in going:
            step = replace(step, note=gone_with(doomed))
        else:
            with self.executor.guarded(step):
                provider = self.registry.of(doomed)
        self.executor.delete(doomed, provider, step=step, makes_room=True)

    # The end of the program

    def end(self, *, failed: bool) -> None:
        """Record the stack's outputs. After a failure those that are missing stay: what they name may still stand."""
        stack = self.ledger.live(self.stack_urn)
        if stack is not None and self._exports is not None:
            self.ledger.write(replace(stack, outputs=(stack.outputs if failed else {}) | self._exports))

    def leftovers(self) -> list[Resource]:
        """The entries that the program no longer asks for, and those that were replaced."""
        wanted = self._seen | self.registry.defaults
        return [item for item in self.ledger.entries() if item.delete or item.urn not in wanted]


def _taking_the_place_of(old: Resource | None, step: Step) -> tuple[Step, ...]:
    """`step`, and where it makes another resource the one of this name, that this is a replacement."""
    if old is None:
        return (step,)
    op = Op.READ_REPLACEMENT if step.op is Op.READ else Op.CREATE_REPLACEMENT
    return (replace(step, op=op), replace(step, op=Op.REPLACE))
