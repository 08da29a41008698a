"""What a run does, on the disk before and after it does it (I1, I3, I4, I16).

`journal.ndjson` holds what is not in the checkpoint yet. Its lines are JSON objects

    {"sum": S, "records": [record, …], "salt": …}
    {"sum": S, "folded": sha256 of the checkpoint that holds all of this}

and the first one says besides what it is: `"journal": 1, "project": …, "stack": …, "base": sha256 of the checkpoint
that it goes on from`. `sum` (16 hex digits of sha256) covers the sum before and the rest of the line, so a line that
was changed, moved or taken out shows. A line is what one fdatasync made durable: the records of all threads that
waited for it. So a crash can tear the last line only: it has no newline, or NUL bytes where a block was not written.

    record = {"op": "begin", "number": n, "kind": …, "resource": …}
           | {"op": "end", "number": n, "put": [resource, …], "drop": [[urn, tag], …]}
           | {"op": "write", "put": …, "drop": …}
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import CloudmodelError, SaveFailed, StateCorrupt
from cloudmodel.core.files import sync_folder
from cloudmodel.engine.checkpoint import read_pending, read_resource, sealing, unsealing, write_pending, write_resource
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.secrets import Secrets, dump
from cloudmodel.engine.state import Key, Mutation, PendingOperation, Resource, State

VERSION = 1
SUM = 16
HEAD = len(b'{"sum":"' + b"0" * SUM + b'",')

_sync = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True)
class Record:
    """One thing that happened. `number` names an operation; `operation` is what began, `mutation` what changed."""

    op: str
    number: int = 0
    operation: PendingOperation | None = None
    mutation: Mutation = field(default_factory=Mutation)


class Book:
    """A state that records are applied to, one after the other."""

    def __init__(self, state: State) -> None:
        self._base = state
        self._entries: dict[Key, Resource] = {entry.key: entry for entry in state.resources}
        self.pending: dict[int, PendingOperation] = dict(enumerate(state.pending))
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The state now, in canonical order; costs a sort after each change."""
        if self._state is None:
            resources = ordered(self._entries.values())
            self._state = replace(self._base, resources=resources, pending=tuple(self.pending.values()))
        return self._state

    def apply(self, record: Record) -> None:
        """Raises KeyError when an operation ends that did not begin."""
        if record.operation:
            self.pending[record.number] = record.operation
        if record.op == "end":
            del self.pending[record.number]
        for key in record.mutation.drop:
            self._entries.pop(key, None)
        for entry in record.mutation.put:
            self._entries[entry.key] = entry
        self._state = None


@dataclass(frozen=True)
class Replayed:
    """A journal applied to its checkpoint.

    `length` is the number of good bytes (the rest is a torn last line), `sum` the last line's, `next` the next
    operation's number, `salt` what the last secrets were sealed with. `folded` is true when the checkpoint holds all
    of it already: only the removal of the journal was left to do.
    """

    book: Book
    length: int = 0
    sum: str = ""
    next: int = 0
    salt: str = ""
    folded: bool = False


def replay(content: bytes, state: State, digest: str, secrets: Secrets, where: str) -> Replayed:
    """Apply the journal's `content` to the checkpoint's `state`, whose bytes have this sha256 (empty: no checkpoint).

    Raises StateCorrupt for damage anywhere but in a torn last line, and for a journal of another checkpoint.
    """
    *lines, _torn = content.split(b"\n")
    if lines and b"\0" in lines[-1]:
        lines.pop()
    book = Book(state)
    done = Replayed(book, next=len(book.pending))
    if not lines:
        return done
    base = ""
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(lines, 1):
        document = _line(line, done.sum, number, where)
        if number == 1:
            base = _header(document, state, where)
        done = replace(
            done,
            sum=line[8 : 8 + SUM].decode(),
            length=done.length + len(line) + 1,
            salt=document.get("salt", done.salt),
            folded=bool(document.get("folded")) and document["folded"] == digest,
        )
        records.append((number, document))
    if done.folded:
        return done
    if base != digest:
        raise StateCorrupt(
            "the journal belongs to another checkpoint than the one beside it",
            where=where,
            hint="put back the checkpoint that was there when the journal was written",
        )
    highest = done.next - 1
    for number, document in records:
        salt = document.get("salt", "")
        for item in document.get("records", ()):
            try:
                record = _read(item, secrets, salt, where)
                book.apply(record)
            except (KeyError, TypeError, ValueError):
                raise StateCorrupt(
                    f"line {number} of the journal holds a record that makes no sense", where=where
                ) from None
            highest = max(highest, record.number)
    return replace(done, next=highest + 1)


class Journal:
    """The durable Recorder of one run. `guard` opens a block in which this run still holds the stack's lock.

    `notes` are for the user; `summary` is set by the run (counts by operation) and goes to the history. The file is
    made with the first record, so a run that changes nothing writes nothing. After the first failure every method
    raises again: SaveFailed when the disk refuses, StackLocked when the lock was broken.
    """

    def __init__(
        self,
        path: Path,
        replayed: Replayed,
        digest: str,
        secrets: Secrets,
        guard: Callable[[], AbstractContextManager[None]],
        again: str,
    ) -> None:
        self.notes: list[str] = []
        self.summary: dict[str, int] = {}
        self.failure: CloudmodelError | None = None
        self._path = path
        self._book = replayed.book
        self._length = replayed.length
        self._sum = replayed.sum
        self._digest = digest
        self._secrets = secrets
        self._seal = sealing(secrets)
        self._guard = guard
        self._again = again
        self._numbers = itertools.count(replayed.next)
        self._descriptor: int | None = None
        self._turn = threading.Condition()
        self._queue: list[_Ticket] = []
        self._writing = False

    @property
    def state(self) -> State:
        """The state with every durable record; canonical order. Costs a sort after a change."""
        with self._turn:
            return self._book.state

    @property
    def written(self) -> bool:
        """Whether there is a journal on the disk."""
        return self._length > 0

    def begin(self, operation: PendingOperation) -> int:
        """See Recorder."""
        number = next(self._numbers)
        form = write_pending(operation, self._seal)
        self._commit(
            Record("begin", number, operation),
            {"op": "begin", "number": number, "kind": form["type"], "resource": form["resource"]},
        )
        return number

    def end(self, operation: int, mutation: Mutation) -> None:
        """See Recorder. Raises ValueError for an operation that is not pending."""
        with self._turn:
            if operation not in self._book.pending:
                raise ValueError(f"operation {operation} is not pending")
        body = {"op": "end", "number": operation, **self._changes(mutation)}
        self._commit(Record("end", operation, mutation=mutation), body)

    def write(self, mutation: Mutation) -> None:
        """See Recorder."""
        self._commit(Record("write", mutation=mutation), {"op": "write", **self._changes(mutation)})

    def settle(self, operation: PendingOperation, mutation: Mutation) -> None:
        """See Recorder. Raises ValueError for an operation that is not pending."""
        wanted = (operation.resource.key, operation.kind)
        with self._turn:
            pending = list(self._book.pending.items())
        for number, found in pending:
            if (found.resource.key, found.kind) == wanted:
                return self.end(number, mutation)
        raise ValueError(f"no operation is pending for {operation.resource.urn}")

    def fold(self, digest: str) -> None:
        """Record that the checkpoint with this sha256, which is about to be written, holds everything."""
        self._guarded(dump({"folded": digest}))

    def discard(self) -> None:
        """Remove the journal from the disk; the checkpoint holds everything."""
        with self._guard():
            self._path.unlink(missing_ok=True)
            sync_folder(self._path.parent)
        self._length = 0

    def close(self) -> None:
        """Let the file go; what is in it stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def save_failed(self, error: OSError) -> SaveFailed:
        """The error for a disk that refuses, with the one command that goes on from here."""
        return SaveFailed(
            f"the state could not be saved: {error.strerror or error}",
            where=str(self._path.parent),
            hint=f"nothing recorded is lost; make room there, then run `{self._again}`",
            details={"errno": error.errno},
        )

    def _changes(self, mutation: Mutation) -> dict[str, Any]:
        return {
            "put": [write_resource(entry, self._seal) for entry in mutation.put],
            "drop": [list(key) for key in mutation.drop],
        }

    def _commit(self, record: Record, body: Mapping[str, Any]) -> None:
        """Return when the record is on the disk; whoever comes first writes for all who wait."""
        ticket = _Ticket(record, dump(body))
        with self._turn:
            self._refuse()
            self._queue.append(ticket)
            while self._writing and not ticket.done:
                self._turn.wait()
            if ticket.done:
                return self._refuse() if ticket.failed else None
            self._refuse()
            self._writing = True
            batch, self._queue = self._queue, []
        try:
            records = ",".join(each.text for each in batch)
            self._guarded(f'{{"records":[{records}],"salt":{dump(self._secrets.salt)}}}')
        finally:
            with self._turn:
                self._writing = False
                for each in batch:
                    each.done, each.failed = True, self.failure is not None
                    if not each.failed:
                        self._book.apply(each.record)
                self._turn.notify_all()

    def _refuse(self) -> None:
        if self.failure:
            error = self.failure
            again = {"where": error.where, "hint": error.hint, "runbook": error.runbook}
            raise type(error)(error.message, **again, details=error.details)

    def _guarded(self, body: str) -> None:
        """Append one line durably; the first failure ends all writing."""
        try:
            with self._guard():
                self._append(body)
        except CloudmodelError as error:
            self.failure = error
            raise
        except OSError as error:
            self.failure = self.save_failed(error)
            raise self.failure from None
        except BaseException:
            # Stopped in the middle of a write: the last line may be torn, so nothing may follow it.
            self.failure = self.save_failed(OSError("the run was stopped while it was written"))
            raise

    def _append(self, body: str) -> None:
        created = self._descriptor is None and not self._length
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._descriptor, self._length)
        if created:
            state = self._book.state
            header = {"journal": VERSION, "project": state.project, "stack": state.stack, "base": self._digest}
            body = f"{dump(header)[:-1]},{body[1:]}"
        self._sum = _sum(self._sum, body.encode())
        content = f'{{"sum":"{self._sum}",{body[1:]}\n'.encode()
        position = self._length
        while position < self._length + len(content):
            position += os.pwrite(self._descriptor, content[position - self._length :], position)
        _sync(self._descriptor)
        if created:
            sync_folder(self._path.parent)
        self._length = position


@dataclass
class _Ticket:
    record: Record
    text: str
    done: bool = False
    failed: bool = False


def _sum(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:SUM]


def _line(line: bytes, before: str, number: int, where: str) -> dict[str, Any]:
    body = b"{" + line[HEAD:]
    if line[:HEAD] == f'{{"sum":"{_sum(before, body)}",'.encode():
        with contextlib.suppress(ValueError):
            document = json.loads(body)
            if isinstance(document, dict):
                return document
    raise StateCorrupt(f"line {number} of the journal is damaged", where=where)


def _header(document: Mapping[str, Any], state: State, where: str) -> str:
    if document.get("journal") != VERSION:
        raise StateCorrupt(
            f"the journal has version {document.get('journal')!r}; this program reads version {VERSION}",
            where=where,
            hint="use the program that wrote it; it was left as it is",
        )
    if (document.get("project"), document.get("stack")) != (state.project, state.stack):
        raise StateCorrupt(
            f"the journal is of {document.get('project')}/{document.get('stack')}, "
            f"not of {state.project}/{state.stack}",
            where=where,
        )
    return str(document.get("base", ""))


def _read(item: Mapping[str, Any], secrets: Secrets, salt: str, where: str) -> Record:
    unseal = unsealing(secrets, salt, where)
    if item["op"] == "begin":
        operation = read_pending({"resource": item["resource"], "type": item["kind"]}, unseal, where)
        return Record("begin", int(item["number"]), operation)
    if item["op"] not in ("end", "write"):
        raise ValueError(item["op"])
    mutation = Mutation(
        put=tuple(read_resource(entry, unseal, where) for entry in item["put"]),
        drop=tuple((str(urn), str(tag)) for urn, tag in item["drop"]),
    )
    return Record(str(item["op"]), int(item.get("number", -1)), mutation=mutation)
