"""The entries of a run as they stand now, and their record: one door to both, so that they never differ."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cloudmodel.engine.normal import references
from cloudmodel.engine.state import Key, Mutation, PendingKind, PendingOperation, Recorder, Resource, State
from cloudmodel.engine.urn import provider_urn


class Ledger:
    """Looks entries up by URN without a search, and writes every change to the recorder. Safe for several threads.

    `before` holds the entries at the start of the run. Records of different resources are written side by side (the
    recorder may join their syncs); only a change of many entries at once, such as a rename, is alone.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.before = recorder.state
        self._live = {entry.urn: entry for entry in self.before.resources if not entry.delete}
        self._renames: dict[str, str] = {}
        self._doomed = {entry.key: entry for entry in self.before.resources if entry.delete}
        self._changed = threading.Condition()
        self._writers = 0
        self._alone = False

    def live(self, urn: str) -> Resource | None:
        """The entry of `urn` that is not waiting for its deletion."""
        return self._live.get(urn)

    def entries(self) -> tuple[Resource, ...]:
        """All entries, in no order."""
        with self._changed:
            return (*self._live.values(), *self._doomed.values())

    @property
    def state(self) -> State:
        """What the recorder holds now."""
        return self.recorder.state

    def begin(self, kind: PendingKind, entry: Resource) -> int:
        """Record that a provider call for `entry` is about to be made."""
        return self.recorder.begin(PendingOperation(resource=entry, kind=kind))

    def end(self, operation: int, *put: Resource, drop: Iterable[Key] = ()) -> None:
        """Record how it ended."""
        with self._shared():
            mutation = Mutation(put=self._current(put), drop=tuple(drop))
            self.recorder.end(operation, mutation)
            self._apply(mutation)

    def write(self, *put: Resource, drop: Iterable[Key] = ()) -> None:
        """Record a change that needed no provider call; nothing is written where nothing differs."""
        with self._shared():
            new = tuple(entry for entry in self._current(put) if self.entry(entry.key) != entry)
            gone = tuple(key for key in drop if self.entry(key) is not None)
            if new or gone:
                mutation = Mutation(put=new, drop=gone)
                self.recorder.write(mutation)
                self._apply(mutation)

    def settle(self, operation: PendingOperation, *put: Resource, drop: Iterable[Key] = ()) -> None:
        """Record what became of an operation that an earlier run left pending."""
        with self._shared():
            mutation = Mutation(put=self._current(put), drop=tuple(drop))
            self.recorder.settle(operation, mutation)
            self._apply(mutation)

    def rename(self, old: Resource, urn: str) -> Resource:
        """Give `old` the name `urn`, in its entry and in everything that points to it; returns the new entry."""
        with self._exclusive():
            old = self.entry(old.key) or old
            renamed = replace(_renamed(old, old.urn, urn), urn=urn)
            others = [entry for entry in (*self._live.values(), *self._doomed.values()) if entry.key != old.key]
            moved = [new for entry in others if (new := _renamed(entry, old.urn, urn)) is not entry]
            mutation = Mutation(put=(renamed, *moved), drop=(old.key,))
            self.recorder.write(mutation)
            self._apply(mutation)
            self._renames[old.urn] = urn
        return renamed

    def without(self, key: Key) -> tuple[Resource, ...]:
        """The entries that point to `key`'s URN, as they are once it is gone: they no longer name it."""
        urn = key[0]
        others = [entry for entry in self.entries() if entry.key != key]
        if any(entry.urn == urn for entry in others):
            return ()
        stack = next((entry.urn for entry in others if not entry.parent and not entry.custom), "")
        return tuple(_detached(entry, urn, stack) for entry in others if _names(entry, urn))

    def entry(self, key: Key) -> Resource | None:
        """The entry with this key, as it stands now."""
        return self._doomed.get(key) if key[1] else self._live.get(key[0])

    def _current(self, entries: Iterable[Resource]) -> tuple[Resource, ...]:
        """`entries`, which may have been looked up before a rename, with the names of now."""
        current = []
        for entry in entries:
            if not entry.delete:
                self._renames.pop(entry.urn, None)  # the name is in use again
            now = entry
            for old, new in tuple(self._renames.items()):
                now = _renamed(now, old, new)
            current.append(now)
        return tuple(current)

    def _apply(self, mutation: Mutation) -> None:
        with self._changed:
            for urn, doomed in mutation.drop:
                if doomed:
                    self._doomed.pop((urn, doomed), None)
                else:
                    self._live.pop(urn, None)
            for entry in mutation.put:
                if entry.delete:
                    self._doomed[entry.key] = entry
                else:
                    self._live[entry.urn] = entry

    @contextmanager
    def _shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._writers += 1
        try:
            yield
        finally:
            with self._changed:
                self._writers -= 1
                self._changed.notify_all()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._writers)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


def _names(entry: Resource, urn: str) -> bool:
    return any(other == urn for _, other in references(entry))


def _renamed(entry: Resource, old: str, new: str) -> Resource:
    """`entry` with every mention of the URN `old` replaced; the very same object where there is none."""
    if not _names(entry, old):
        return entry

    def swap(urn: str) -> str:
        return new if urn == old else urn

    provider = entry.provider
    if provider and provider_urn(provider) == old:
        provider = new + provider[len(old) :]
    return replace(
        entry,
        parent=swap(entry.parent),
        provider=provider,
        dependencies=tuple(map(swap, entry.dependencies)),
        property_dependencies={key: tuple(map(swap, urns)) for key, urns in entry.property_dependencies.items()},
        deleted_with=swap(entry.deleted_with),
    )


def _detached(entry: Resource, gone: str, stack: str) -> Resource:
    """`entry` without any mention of the URN `gone`; a child falls to the stack."""
    dependencies = {key: tuple(urn for urn in urns if urn != gone) for key, urns in entry.property_dependencies.items()}
    return replace(
        entry,
        parent=(stack if entry.urn != stack else "") if entry.parent == gone else entry.parent,
        dependencies=tuple(urn for urn in entry.dependencies if urn != gone),
        property_dependencies={key: urns for key, urns in dependencies.items() if urns},
        deleted_with="" if entry.deleted_with == gone else entry.deleted_with,
    )
