"""Provider entries of a run: the default ones the engine makes by itself, the explicit ones the program registers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cloudmodel.core.resource import Checked, Provider, ResourceFailure
from cloudmodel.engine import providers
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import changed_keys, described
from cloudmodel.engine.executor import Executor, now, same
from cloudmodel.engine.goal import Goal, entry
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.values import MISSING, annotated, display, lookup, parse_path, plain


@dataclass(frozen=True)
class Settings:
    """What a deployment knows of the run. `replace` are the URNs that the user wants replaced."""

    project: str
    stack: str
    config: Mapping[str, str]
    secret_keys: frozenset[str]
    folder: Path
    replace: frozenset[str] = frozenset()


class Registry:
    """Finds the provider of every resource, as an entry and as a configured instance. Safe for several threads.

    `defaults` are the URNs of the default providers that this run uses.
    """

    def __init__(self, settings: Settings, executor: Executor, instances: providers.Providers) -> None:
        self.defaults: set[str] = set()
        self._settings = settings
        self._executor = executor
        self._instances = instances
        self._references: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._records = {item.urn: item for item in executor.ledger.entries() if urns.is_provider(item.type)}

    def of(self, item: Resource) -> Provider:
        """The instance that an entry belongs to."""
        return self._instances.of(item, self._records)

    def provided(self, goal: Goal) -> tuple[Goal, Provider]:
        """`goal` with the reference of its provider, and that provider. Raises Unsupported and Halted."""
        providers.refuse_foreign(goal.type)
        reference = goal.provider or self._default(urns.package(goal.type), goal.version)
        goal = replace(goal, provider=reference)
        return goal, self.of(entry(goal, goal.name, {}))

    def register(self, goal: Goal, urn: str, old: Resource | None) -> Resource:
        """Configure and record an explicit provider."""
        made, step = self._configured(goal, urn, old)
        return self._executor.write(made, step)

    def _default(self, package: str, version: str) -> str:
        """The reference of the default provider of `package`, made and recorded at its first use."""
        with self._lock:
            known = self._references.get((package, version))
            if known is not None:
                return known
            settings = self._settings
            goal = Goal(
                type=f"{urns.PROVIDER_PREFIX}{package}",
                name=providers.default_name(version),
                inputs=providers.default_inputs(package, version, settings.config, settings.secret_keys),
            )
            urn = urns.make(settings.stack, settings.project, "", goal.type, goal.name)
            self._executor.reporter.masker.learn(goal.inputs)
            made, _ = self._configured(goal, urn, self._executor.ledger.live(urn))
            self._executor.note(made)
            self.defaults.add(urn)
            reference = self._references[package, version] = f"{urn}::{made.id}"
            return reference

    def _configured(self, goal: Goal, urn: str, old: Resource | None) -> tuple[Resource, Step]:
        """The entry of a provider whose instance is ready, and the step that brings it there."""
        kept = {key: value for key, value in goal.inputs.items() if key in providers.ENGINE_KEYS}
        if goal.version:
            kept["version"] = goal.version
        step = Step(op=Op.UPDATE if old else Op.CREATE, urn=urn, type=goal.type, old=old)
        with self._executor.guarded(step):
            instance, checked = self._instances.checked(urn, urns.package(goal.type), goal.inputs)
            accept(goal, checked)
            inputs = annotated(checked.inputs, goal.inputs) | kept
            self._instances.adopt(urn, instance, checked.inputs)
        outputs = {key: value for key, value in inputs.items() if key != "__internal"}
        made = replace(entry(goal, urn, inputs, old=old), outputs=outputs)
        if old is None:
            return replace(made, id=providers.new_id(urn), created=now(), modified=now()), step
        changes = changed_keys(plain(old.inputs), plain(inputs))
        if not changes:
            return made, same(made, old)
        return replace(made, modified=now()), replace(step, diff=described(changes, old.inputs, inputs))


def accept(goal: Goal, checked: Checked) -> None:
    """Raise ResourceFailure with every property that the provider refused, secret values left out."""
    problems = []
    for failure in checked.failures:
        value = lookup(goal.inputs, parse_path(failure.property))
        shown = "" if value is MISSING else f" value {{{display(value)}}}"
        problems.append(f"property {failure.property}{shown} has a problem: {failure.reason}")
    if problems:
        raise ResourceFailure(f"{goal.type} resource '{goal.name}': {'; '.join(problems)}")
