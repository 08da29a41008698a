"""Deletes entries in reverse dependency order, independent ones side by side (I13)."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from cloudmodel.core.resource import Provider, ResourceFailure
from cloudmodel.engine import urn as urns
from cloudmodel.engine.executor import Executor
from cloudmodel.engine.planner import deletion_order
from cloudmodel.engine.reporting import Halted
from cloudmodel.engine.state import Key, Resource
from cloudmodel.engine.step import Op, Step

RETAINED = "retained"


def protected(old: Resource, verb: str) -> ResourceFailure:
    """Why a protected resource stays, and the way out."""
    return ResourceFailure(
        f"the resource is protected and cannot be {verb}",
        hint="remove `protect` from it in the program and run `cloudmodel up` once, then try again",
    )


def gone_with(entry: Resource) -> str:
    """The note on a deletion that needs no call: what the entry is deleted with takes it along."""
    return f"deleted with {urns.split(entry.deleted_with).name}"


def delete_all(
    doomed: Iterable[Resource], executor: Executor, provider_of: Callable[[Resource], Provider], parallel: int
) -> None:
    """Delete `doomed`, each after everything that needs it.

    A protected entry stays, and with it what it needs; the others go, and then the run fails. Nothing is raised for
    a failed step: it is in the reporter, and the control is closed.
    """
    by_key = {entry.key: entry for entry in doomed}
    waits = deletion_order(by_key.values())
    going = _going(by_key, waits)
    kept: list[Resource] = []

    def work(key: Key) -> bool:
        entry = by_key[key]
        if _stays(entry):
            kept.append(entry)
            return False
        try:
            with executor.slot():
                _delete(entry, executor, provider_of, going)
        except Halted:
            return False
        return True

    in_order(waits, work, parallel)
    if executor.control.closed or executor.control.stop.is_set():
        return
    for entry in sorted(kept, key=lambda item: item.urn):
        step = Step(op=Op.DELETE, urn=entry.urn, type=entry.type, old=entry)
        executor.failed(step, protected(entry, "deleted"))


def _stays(entry: Resource) -> bool:
    return entry.protect and not entry.delete


def _going(by_key: Mapping[Key, Resource], waits: dict[Key, set[Key]]) -> set[str]:
    """The URNs that the cloud will really lose: not what is protected or kept, nor what a protected one needs."""
    staying: set[Key] = set()
    for key in reversed(waits):
        if _stays(by_key[key]) or not staying.isdisjoint(waits[key]):
            staying.add(key)
    gone = [entry for key, entry in by_key.items() if key not in staying]
    return {entry.urn for entry in gone if not (entry.retain_on_delete or entry.external)}


def _delete(entry: Resource, executor: Executor, provider_of: Callable[[Resource], Provider], going: set[str]) -> None:
    step = Step(op=Op.DELETE_REPLACED if entry.delete else Op.DELETE, urn=entry.urn, type=entry.type, old=entry)
    provider: Provider | None = None
    if urns.is_provider(entry.type) or not entry.custom:
        if urns.is_provider(entry.type) and urns.is_default_provider(f"{entry.urn}::"):
            with executor.guarded(step):
                executor.ledger.write(drop=(entry.key,))
            return
    elif entry.external or entry.pending_replacement:
        step = replace(step, op=Op.DISCARD)
    elif entry.retain_on_delete:
        step = replace(step, note=RETAINED)
    elif entry.deleted_with in going:
        step = replace(step, note=gone_with(entry))
    else:
        with executor.guarded(step):
            provider = provider_of(entry)
    executor.delete(entry, provider, step=step)


def in_order(waits: Mapping[Key, set[Key]], work: Callable[[Key], bool], parallel: int) -> None:
    """Call `work` for every key once it returned true for all that the key waits for; at most `parallel` at once.

    What stands behind a false one is never called. An exception ends the round when what runs has finished.
    """
    left = {key: set(others) for key, others in waits.items()}
    users: dict[Key, list[Key]] = {key: [] for key in waits}
    for key, others in waits.items():
        for other in others:
            users[other].append(key)
    finished: queue.SimpleQueue[tuple[Key, Future[bool]]] = queue.SimpleQueue()
    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="engine") as pool:

        def start(key: Key) -> None:
            future = pool.submit(work, key)
            future.add_done_callback(lambda done: finished.put((key, done)))

        running = 0
        for key in sorted(key for key, others in left.items() if not others):
            start(key)
            running += 1
        while running:
            key, future = finished.get()
            running -= 1
            if not future.result():
                continue
            for user in users[key]:
                left[user].discard(key)
                if not left[user]:
                    start(user)
                    running += 1
