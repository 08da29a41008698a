"""What a rollback has done so far, kept beside the state until Pulumi's own has it.

Pulumi's backends take whole states only and drop what is pending in them. So a rollback writes here what it begins and
what it ended (I1, I3): the next run finds what one that was killed has left. It lies where our lock does: in the bucket
of the state, else in the project's private folder.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cloudmodel.core.errors import CloudmodelError, SaveFailed
from cloudmodel.core.files import write_bytes
from cloudmodel.engine import checkpoint
from cloudmodel.engine.normal import fingerprint
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import Mutation, PendingOperation, State


class Place(Protocol):
    """Where one document is kept. Raises OSError and the errors of core.errors."""

    where: str

    def read(self) -> bytes | None: ...
    def write(self, content: bytes) -> None: ...
    def remove(self) -> None: ...


class FilePlace:
    """A file of the user's alone."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, content: bytes) -> None:
        write_bytes(self._path, content, mode=0o600)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


class Unfinished:
    """The record of a stack's rollback: the state as the rollback has made it, secrets sealed, and the fingerprints of
    the states of Pulumi's that it takes the place of: `before`, and `after` once Pulumi is given what was made.

    It is written under the stack's lock only: `require_held` raises StackLocked where that is not ours any more (I7).
    """

    def __init__(
        self, place: Place, project: str, stack: str, secrets: Secrets, require_held: Callable[[], None]
    ) -> None:
        self.require_held = require_held
        self._place = place
        self._project = project
        self._stack = stack
        self._secrets = secrets

    def found(self, state: State) -> State | None:
        """What a rollback that was interrupted left; None where none was, or where Pulumi's `state` is neither the
        one that it began with nor the one that it gave: then it is over. Raises StateCorrupt."""
        content = self._place.read()
        if content is None:
            return None
        document = checkpoint.parse(content, self._place.where)
        if fingerprint(state) not in (document.pop("before", None), document.pop("after", None)):
            return None
        return checkpoint.read(document, self._project, self._stack, self._secrets, self._place.where).state

    def recorder(self, state: State) -> MemoryRecorder:
        """A recorder that begins with `state`, which is Pulumi's, and whose every record is durable here."""
        before = fingerprint(state)
        return _Recorder(state, lambda now: self._write(now, before))

    def hand_over(self, state: State, before: State) -> None:
        """Pulumi is about to be given `state` in the place of `before`. What is pending in it stays here, whether it
        gets that far or not."""
        self._write(state, fingerprint(before), after=fingerprint(replace(state, pending=())))

    def forget(self) -> None:
        """Whatever was found is over."""
        if self._place.read() is not None:  # in a bucket with versions a removal of nothing leaves a mark
            self._place.remove()

    def _write(self, state: State, before: str, after: str = "") -> None:
        document = checkpoint.export(state, self._secrets) | {"before": before, "after": after}
        self.require_held()
        try:
            self._place.write(json.dumps(document).encode())
        except (OSError, CloudmodelError) as error:
            raise SaveFailed(
                f"what the rollback does cannot be recorded: {error}",
                where=self._place.where,
                hint="see that it can be written, then run the same command again",
            ) from error


class _Recorder(MemoryRecorder):
    """Keeps each change before it returns."""

    def __init__(self, state: State, keep: Callable[[State], None]) -> None:
        super().__init__(state)
        self._keep = keep
        self._keeping = threading.Lock()

    def begin(self, operation: PendingOperation) -> int:
        number = super().begin(operation)
        self._save()
        return number

    def end(self, operation: int, mutation: Mutation) -> None:
        super().end(operation, mutation)
        self._save()

    def write(self, mutation: Mutation) -> None:
        super().write(mutation)
        self._save()

    def settle(self, operation: PendingOperation, mutation: Mutation) -> None:
        super().settle(operation, mutation)
        self._save()

    def _save(self) -> None:
        with self._keeping:  # of two at once the later state is written last
            self._keep(self.state)
