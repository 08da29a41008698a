"""Operations that an earlier run began and did not end are settled by looking at the cloud (I1, I2, I8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cloudmodel.core.errors import OperationFailed
from cloudmodel.core.resource import Live, Properties, Provider, ResourceFailure
from cloudmodel.engine import urn as urns
from cloudmodel.engine.executor import completed, now
from cloudmodel.engine.ledger import Ledger
from cloudmodel.engine.reporting import Reporter
from cloudmodel.engine.state import PendingKind, PendingOperation, Resource
from cloudmodel.engine.values import annotated, parse_path, plain

INTERRUPTED = "an earlier run was interrupted; the resource may be incomplete"


class Recovery:
    """Settles the pending operations of a state, one by one. Raises OperationFailed when the cloud does not answer;
    the operation then stays pending."""

    def __init__(self, ledger: Ledger, reporter: Reporter, provider_of: Callable[[Resource], Provider]) -> None:
        self._ledger = ledger
        self._reporter = reporter
        self._provider_of = provider_of

    def settle_all(self) -> None:
        """Settle every operation that the state holds."""
        table = {
            PendingKind.CREATING: self._created,
            PendingKind.UPDATING: self._updated,
            PendingKind.DELETING: self._deleted,
        }
        for operation in self._ledger.before.pending:
            entry = operation.resource
            settle = table.get(operation.kind)
            if settle is None or not entry.custom or urns.is_provider(entry.type):
                self._ledger.settle(operation)
                continue
            try:
                settle(operation, entry, self._provider_of(entry))
            except ResourceFailure as failure:
                raise OperationFailed(
                    f"nobody knows whether {operation.kind.value} {entry.type} '{entry.name}' took effect, "
                    f"and the cloud does not say: {failure.message}",
                    where=entry.urn,
                    hint="the operation stays on record; run the same command again when the cloud answers",
                ) from None

    def _created(self, operation: PendingOperation, entry: Resource, provider: Provider) -> None:
        found = provider.find(entry.urn, entry.type, plain(entry.inputs))
        ours = {
            item.id
            for item in self._ledger.entries()
            if item.urn == entry.urn and not item.external and not item.pending_replacement
        }
        live = None
        if found and found not in ours:
            live = provider.read(entry.urn, entry.type, found, plain(entry.inputs), {})
        if live is None:
            self._ledger.settle(operation)
            self._say(entry, "was not created")
            return
        stamped = replace(entry, id=found or "", created=entry.created or now(), modified=now())
        adopted = _as_found(stamped, entry.inputs, live, provider)
        old = self._ledger.live(entry.urn)
        replaced = old is not None and not old.external and not old.pending_replacement
        doomed = (replace(old, delete=True),) if old is not None and replaced else ()
        self._ledger.settle(operation, adopted, *doomed)
        self._say(entry, f"was created: adopted as '{adopted.id}'")

    def _updated(self, operation: PendingOperation, entry: Resource, provider: Provider) -> None:
        old = self._ledger.live(entry.urn) or entry
        live = provider.read(old.urn, old.type, old.id, plain(old.inputs), plain(old.outputs))
        if live is None:
            self._gone(operation, old)
            return
        self._ledger.settle(operation, _as_found(old, old.inputs, live, provider))
        self._say(entry, "was being updated: the update is repeated where it is still wanted")

    def _deleted(self, operation: PendingOperation, entry: Resource, provider: Provider) -> None:
        live = provider.read(entry.urn, entry.type, entry.id, plain(entry.inputs), plain(entry.outputs))
        if live is None:
            self._gone(operation, entry)
            return
        self._ledger.settle(operation)
        self._say(entry, "still stands: it was not deleted")

    def _gone(self, operation: PendingOperation, entry: Resource) -> None:
        self._ledger.settle(operation, *self._ledger.without(entry.key), drop=(entry.key,))
        self._say(entry, "is gone: forgotten")

    def _say(self, entry: Resource, what: str) -> None:
        self._reporter.say("info", f"{entry.type} '{entry.name}' {what}", entry.urn)


def _as_found(entry: Resource, wanted: Properties, live: Live, provider: Provider) -> Resource:
    """`entry` as the cloud has it, marked so that the next plan updates it even where nothing seems to differ.

    Inputs are the live ones, so that what an interrupted call left out is seen; but a property that would force a
    replacement keeps its wanted value: what was just made is never made again for the sake of a read that is not exact.
    """
    entry = replace(completed(entry, live), init_errors=(INTERRUPTED,))
    if not live.inputs:
        return entry
    found = annotated(live.inputs, wanted)
    difference = provider.diff(entry.urn, entry.type, entry.id, plain(found), live.outputs, plain(wanted))
    kept = {str(parse_path(path)[0]) for path in difference.replaces}
    inputs = {key: value for key, value in found.items() if key not in kept}
    return replace(entry, inputs=inputs | {key: wanted[key] for key in kept if key in wanted})
