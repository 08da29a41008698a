"""Where a walk is, what it has found, and the two ways to hold what it reads."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning.budget import FINDINGS, Budget
from cloudmodel.formats.scanning.opinions import MAX_ALL, MAX_PICKLE, Pickle
from cloudmodel.formats.scanning.streams import PIECE, spooled


@dataclass
class Context:
    """One walk through a file: its budget, and what was found until now, which also an early end keeps."""

    budget: Budget
    findings: list[Finding] = field(default_factory=list)
    pickles: list[Pickle] = field(default_factory=list)
    """What others may be asked about."""

    def add(self, findings: list[Finding]) -> None:
        """Keep findings; beyond FINDINGS of them the first ones are enough."""
        self.findings += findings[: max(0, FINDINGS - len(self.findings))]

    def keep(self, where: str, pickle: bytes | None) -> None:
        """Remember a pickle, unless it is longer than others are asked about."""
        if pickle and len(pickle) <= MAX_PICKLE and sum(len(each.content) for each in self.pickles) <= MAX_ALL:
            self.pickles.append(Pickle(where, pickle))


@dataclass(frozen=True)
class Place:
    """One thing on the walk: the members on the way to it."""

    context: Context
    names: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """In words, for a finding."""
        return " > ".join(self.names) or "file"

    @property
    def budget(self) -> Budget:
        """The budget of the whole walk."""
        return self.context.budget

    def inner(self, name: str) -> Place:
        """A member of what is here."""
        return Place(self.context, (*self.names, name))

    def note(self, rule: str, detail: str) -> None:
        """Keep a finding about what is here."""
        self.context.add([Finding(rule=rule, location=self.where, detail=detail)])


@contextlib.contextmanager
def seekable(stream: io.BufferedReader, budget: Budget) -> Iterator[IO[bytes]]:
    """The file itself, or a copy of what is nested in an archive, that can be sought in."""
    if on_disk(stream):
        yield stream
        return
    with spooled(stream, budget) as copy:
        yield copy


@contextlib.contextmanager
def path_of(stream: io.BufferedReader, budget: Budget) -> Iterator[Path]:
    """The path of the file itself, or of a copy of what is nested in an archive."""
    if on_disk(stream):
        yield Path(os.fsdecode(stream.name))
        return
    with tempfile.NamedTemporaryFile(prefix="cloudmodel-scan-") as copy:
        while piece := stream.read(PIECE):
            budget.unpack(len(piece))
            copy.write(piece)
        copy.flush()
        yield Path(copy.name)


def on_disk(stream: io.BufferedReader) -> bool:
    """Whether it is a file that was opened, and not a member of an archive."""
    return isinstance(stream.raw, io.FileIO)
