"""Reads every resource and writes into the state what the cloud holds (I17)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cloudmodel.core.errors import CloudmodelError
from cloudmodel.core.resource import Live, Provider, ResourceFailure
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import changed_keys, described
from cloudmodel.engine.executor import Executor, completed, now, same, unexpected_failure
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.reporting import Failure, Halted
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.values import annotated, plain, with_secret_keys


def refresh_all(executor: Executor, provider_of: Callable[[Resource], Provider], parallel: int, *, alone: bool) -> None:
    """Read all resources side by side, then record what differs, in topological order.

    An entry is dropped only where the provider confirmed that nothing is there; where the read failed the entry
    stays, and the run has failed. Raises Halted when it was stopped. `alone` is false where a plan follows, which
    then says what is the same.
    """
    readable = [
        entry
        for entry in ordered(executor.ledger.entries())
        if entry.custom and not urns.is_provider(entry.type) and not entry.pending_replacement
    ]

    def look(entry: Resource) -> Live | ResourceFailure | None:
        with executor.slot():
            try:
                provider = provider_of(entry)
                return provider.read(entry.urn, entry.type, entry.id, plain(entry.inputs), plain(entry.outputs))
            except ResourceFailure as failure:
                return failure
            except CloudmodelError as error:
                return ResourceFailure(error.message, hint=error.hint)
            except Halted:
                raise
            except Exception as unexpected:
                return unexpected_failure(unexpected)

    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="engine") as pool:
        found = list(pool.map(look, readable))
    failures = []
    for entry, live in zip(readable, found, strict=True):
        if isinstance(live, ResourceFailure):
            step = Step(op=Op.REFRESH, urn=entry.urn, type=entry.type, old=entry)
            failures.append(Failure(step=step, message=live.message, request=live.request, hint=live.hint))
        else:
            _record(executor, executor.ledger.entry(entry.key) or entry, live, alone)
    for failure in failures:
        executor.reporter.failed(failure, executor.reporter.started(failure.step))
    if failures:
        executor.control.close()
        raise Halted


def _record(executor: Executor, entry: Resource, live: Live | None, alone: bool) -> None:
    if live is None:
        executor.forget(entry, step=Step(op=Op.DELETE, urn=entry.urn, type=entry.type, old=entry, note="gone"))
        return
    outputs = annotated(with_secret_keys(live.outputs, live.secrets), entry.outputs)
    found = completed(entry, replace(live, id=entry.id, outputs=outputs))
    if live.inputs and not entry.external:
        found = replace(found, inputs=annotated(live.inputs, entry.inputs))
    executor.reporter.masker.learn(found.outputs)
    executor.reporter.masker.learn(found.inputs)
    if found == entry:
        if alone:
            executor.write(entry, same(entry, entry))
        return
    inputs, outs = changed_keys(entry.inputs, found.inputs), changed_keys(entry.outputs, found.outputs)
    diff = described(outs, entry.outputs, found.outputs) | described(inputs, entry.inputs, found.inputs)
    step = Step(op=Op.REFRESH, urn=entry.urn, type=entry.type, diff=diff, old=entry, new=found)
    executor.write(replace(found, modified=now()), step)
