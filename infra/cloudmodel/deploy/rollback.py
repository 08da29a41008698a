"""Going back to an earlier revision of a stack: which one, and what must be found again before it can be made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cloudmodel.bundle.manifest import MANIFEST_NAME
from cloudmodel.bundle.store import BundleStore, open_store
from cloudmodel.core.errors import UsageError
from cloudmodel.core.resource import ASSET
from cloudmodel.engine.planner import Plan
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.step import Diagnostic, Events
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.engine.values import rewritten, signature
from cloudmodel.program import proven
from cloudmodel.settings.model import Project, StackSettings

READS = ("Describe", "Get", "Head", "List")
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
TARGET = "aws:appautoscaling/target:Target"


@dataclass(frozen=True)
class Goal:
    """A planned rollback: to what `version` of the history left, and what it may do."""

    version: int
    earlier: State
    plan: Plan


def chosen(to: str | None, served: Mapping[int, str], now: str, stack: str) -> int:
    """The version of the history to go back to.

    `served` has the revision of each version that is kept, oldest first; `now` is the one that stands. Without `to`
    it is the newest that served something else; `to` is a version, or the beginning of a revision's name.
    Raises UsageError.
    """
    found = [version for version, revision in served.items() if revision != now]
    if to is not None:
        if to.isdigit() and int(to) in served:
            return int(to)
        found = [version for version, revision in served.items() if revision and revision.startswith(to)]
    if not found:
        what = f"no revision {to!r}" if to else f"no revision before {now}" if now else "no revision"
        kept = f"; it keeps {', '.join(map(str, served))}" if served else ": no run of it left one"
        raise UsageError(
            f"the stack {stack} keeps {what}{kept}",
            where=f"stack {stack}",
            hint=f"cloudmodel history --stack {stack}",
        )
    return found[-1]


def revision_of(state: State) -> str:
    """The name of the revision that `state` serves; empty for none."""
    return str(outputs_of(state).get("revision") or "")


def outputs_of(state: State) -> Mapping[str, Any]:
    """The stack's outputs."""
    return next((each.outputs for each in state.resources if each.type == STACK_TYPE), {})


def prepared(earlier: State, project: Project, settings: StackSettings, live: Mapping[str, int]) -> State:
    """`earlier` with what only this machine and this moment know: where its bundles lie, and how many instances run.

    A fleet that scales begins with its `live` count by variant, so that going back never shrinks a busy one. Raises
    the errors of the bundle store, and UnsafeModel for a bundle that is not signed as `cloudmodel:signed` demands.
    """
    store = open_store(project.bundles, base=project.folder)
    outputs = outputs_of(earlier)
    served = {str(each["bundle_digest"]) for each in outputs.get("variants") or [outputs] if each.get("bundle_digest")}
    for digest in sorted(served):
        proven.require_signed(project, settings, store, digest)
    entries: Iterable[Resource] = (
        replace(each, inputs=rewritten(each.inputs, lambda node: _found(node, store))) for each in earlier.resources
    )
    counts = dict(_counts(earlier, live))
    entries = (replace(each, inputs=_sized(each, counts)) for each in entries)
    return replace(earlier, resources=tuple(entries))


def _counts(earlier: State, live: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The variants that `earlier` lets scale, each with its live count within the bounds of then."""
    for each in earlier.resources:
        variant = str(each.inputs.get("resourceId")).rpartition("/variant/")[2]
        if each.type == TARGET and variant in live:
            least, most = max(int(each.inputs["minCapacity"]), 1), int(each.inputs["maxCapacity"])
            yield variant, min(max(live[variant], least), most)


def _found(node: Any, store: BundleStore) -> Any:
    """A bundle's file is named by its content: it is wherever the store has it. A large bundle, which is kept as its
    files, has the name of its manifest's content."""
    if signature(node) != ASSET or not node.get("path"):
        return node
    place = store.get(f"sha256:{node['hash']}")
    return {**node, "path": str(place / MANIFEST_NAME if place.is_dir() else place)}


def _sized(entry: Resource, counts: Mapping[str, int]) -> dict[str, Any]:
    if entry.type != CONFIGURATION:
        return entry.inputs
    variants = [
        {**each, "initialInstanceCount": counts.get(each.get("variantName"), each["initialInstanceCount"])}
        if "initialInstanceCount" in each
        else each
        for each in entry.inputs.get("productionVariants") or ()
    ]
    return {**entry.inputs, "productionVariants": variants}


class Calls:
    """The calls by which a run changes AWS, told as they are made."""

    def __init__(self, events: Events) -> None:
        self.made: list[str] = []
        self._events = events

    def heard(self, service: str, operation: str) -> None:
        if not operation.startswith(READS):
            self.made.append(f"{service} {operation}")
            self._events(Diagnostic("info", f"AWS: {self.made[-1]}"))
