"""A stack's state made anew from its program and from what stands in the cloud, where the state was lost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from cloudmodel.core.resource import UNKNOWN
from cloudmodel.engine import run as engine
from cloudmodel.engine.ledger import Ledger
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.step import Events
from cloudmodel.engine.values import plain
from cloudmodel.provider.finding import FindingProvider

CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
PASSING = frozenset({"commit"})
"""The tags of a revision that say who made it, not what it is."""


@dataclass(frozen=True)
class Rebuilt:
    """`found` and `missing` are URNs of what the program asks for; `strays` are sentences about what the endpoint
    serves and the program does not make."""

    state: State
    found: tuple[str, ...]
    missing: tuple[str, ...]
    strays: tuple[str, ...]


def rebuilt(run: engine.Run, url: str | None, empty: State, events: Events, stop: threading.Event) -> Rebuilt:
    """The state that `run`'s program has in the cloud at `url` (None: AWS); nothing is changed there, and nothing is
    written.

    The program is previewed on `empty` by a provider that finds; what was found is then read, so that the state says
    what stands and not what is wanted: the next plan shows the difference. Raises the error of either run.
    """
    run = replace(run, providers=lambda _: FindingProvider(url, PASSING))
    planned = engine.preview(run, empty, events, stop=stop).raise_error()
    recorder = MemoryRecorder(planned.state)
    missing = _without_what_is_not_there(recorder)
    read = engine.refresh(run, recorder, events, stop=stop).raise_error()
    state = replace(read.state, resources=tuple(map(_settled, read.state.resources)))
    found = tuple(entry.urn for entry in state.resources if _in_the_cloud(entry))
    return Rebuilt(state, found, missing, _strays(state))


def _without_what_is_not_there(recorder: MemoryRecorder) -> tuple[str, ...]:
    """Drop what has no id, and every mention of it; returns the URNs of what the cloud should have held."""
    ledger = Ledger(recorder)
    absent = [entry for entry in ledger.entries() if entry.custom and not entry.id]
    for entry in absent:
        ledger.write(*ledger.without(entry.key), drop=(entry.key,))
    return tuple(sorted(entry.urn for entry in absent if _in_the_cloud(entry)))


def _in_the_cloud(entry: Resource) -> bool:
    """False for what stands in a state only: components, providers, a Stash."""
    return entry.custom and entry.type.startswith("aws:")


def _settled(entry: Resource) -> Resource:
    """A component, or the stack, without the outputs that hang on what is missing."""
    if entry.custom:
        return entry
    outputs = {name: value for name, value in entry.outputs.items() if UNKNOWN not in str(plain(value))}
    return replace(entry, outputs=outputs)


def _strays(state: State) -> tuple[str, ...]:
    made = {entry.outputs.get("name") for entry in state.resources if entry.type == CONFIGURATION}
    serves = [(e.id, e.outputs.get("endpointConfigName")) for e in state.resources if e.type == ENDPOINT]
    return tuple(
        f"endpoint {endpoint} serves {name}, which this commit and this bundle do not make: take those that did (its "
        "tags name revision and commit) and rebuild again, or the next `up` leaves it behind"
        for endpoint, name in serves
        if name and name not in made
    )
