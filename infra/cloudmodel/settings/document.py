"""A YAML file as plain data, with the place of every value.

The reader takes what Pulumi's files need and refuses the rest: no tags, no merge keys, no second document, no
duplicate key, at most 1 MiB, 32 levels and 20,000 values (aliases count as what they stand for). Plain scalars follow
YAML 1.2's core schema, so that `on`, `2026-11-24` and `012345678901` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import ProjectInvalid, SettingsInvalid

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 20_000

Key = tuple[str | int, ...]

CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|(0|[1-9][0-9]{0,40})(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file. `key` is a dotted path, empty for the file as a whole."""

    mark: Mark
    key: str
    message: str

    def text(self, path: Path) -> str:
        """The line that a user reads."""
        key = f"{self.key}: " if self.key else ""
        return f"{path.name}:{self.mark.line}:{self.mark.column}: {key}{self.message}"


@dataclass(frozen=True)
class Document:
    """What a file says. `marks` has the place of each key and list item by its path; values that came through an
    alias have none. `duplicates` are keys that stand twice."""

    path: Path
    value: Any
    marks: Mapping[Key, Mark] = field(default_factory=dict)
    duplicates: tuple[Problem, ...] = ()

    def mark(self, key: Key) -> Mark:
        """The place of `key`, or of the nearest thing around it."""
        for end in range(len(key), -1, -1):
            if key[:end] in self.marks:
                return self.marks[key[:end]]
        return Mark(1, 1)


class Unreadable(Exception):
    """The file is not a document that this reader takes; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def dotted(key: Key) -> str:
    """A path as a user writes it: `model.inputs[0].name`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def invalid(
    kind: type[ProjectInvalid] | type[SettingsInvalid], path: Path, problems: list[Problem], hint: str | None = None
) -> ProjectInvalid | SettingsInvalid:
    """One error that tells all `problems` of a file, in the file's order."""
    ordered = sorted(set(problems), key=lambda problem: (problem.mark, problem.key, problem.message))
    lines = [problem.text(path) for problem in ordered]
    first = ordered[0]
    message = lines[0] if len(lines) == 1 else f"{path.name} has {len(lines)} problems:\n  " + "\n  ".join(lines)
    return kind(
        message,
        where=f"{path}:{first.mark.line}:{first.mark.column}",
        hint=hint or f"edit {path.name}, then run the command again",
        details={
            "problems": [
                {"line": each.mark.line, "column": each.mark.column, "key": each.key, "message": each.message}
                for each in ordered
            ]
        },
    )


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES; raises Unreadable."""
    try:
        if not path.is_file():
            raise Unreadable(Problem(Mark(1, 1), "", "is not a file" if path.exists() else "does not exist"))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(Problem(Mark(1, 1), "", f"cannot be read: {error.strerror}")) from error
    if len(data) > MAX_BYTES:
        raise Unreadable(Problem(Mark(1, 1), "", f"is larger than {MAX_BYTES} bytes"))
    return data


def read(path: Path) -> Document:
    """Read the YAML file at `path`; raises Unreadable at the first thing that stops the reading."""
    return parse(path, read_bytes(path))


def parse(path: Path, data: bytes) -> Document:
    """Read `data` as the YAML of `path`; raises Unreadable. A file without content is the value None."""
    import yaml

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        raise Unreadable(Problem(mark, "", "is not UTF-8 text")) from error
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _Reader(path, iter(events)).document()
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        mark = Mark(where.line + 1, where.column + 1) if where else Mark(1, 1)
        raise Unreadable(Problem(mark, "", f"is not YAML: {error.problem or error.context}")) from error
    except yaml.YAMLError as error:
        raise Unreadable(Problem(Mark(1, 1), "", f"is not YAML: {str(error).splitlines()[0]}")) from error


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


class _Reader:
    """Builds the value from parser events: no recursion beyond MAX_DEPTH, no object but plain data."""

    def __init__(self, path: Path, events: Iterator[Any]) -> None:
        self.path = path
        self.events = events
        self.marks: dict[Key, Mark] = {}
        self.duplicates: list[Problem] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.count = 0

    def document(self) -> Document:
        import yaml

        value: Any = None
        seen = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    raise self.unreadable(event, (), "has a second document; one file is one document")
                seen = True
                value = self.node(next(self.events), ())
        return Document(self.path, value, self.marks, tuple(self.duplicates))

    def unreadable(self, event: Any, key: Key, message: str) -> Unreadable:
        return Unreadable(Problem(_mark(event), dotted(key), message))

    def node(self, event: Any, key: Key) -> Any:
        import yaml

        self.marks.setdefault(key, _mark(event))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, key)
        self.spend(event, key, 1)
        if event.tag is not None:
            raise self.unreadable(event, key, f"the tag {event.tag} is not used here; write the plain value")
        if len(key) > MAX_DEPTH:
            raise self.unreadable(event, key, f"is nested more than {MAX_DEPTH} levels deep")
        before = self.count
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self.sequence(key)
        else:
            value = self.mapping(key)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.count - before + 1)
        return value

    def spend(self, event: Any, key: Key, amount: int) -> None:
        self.count += amount
        if self.count > MAX_VALUES:
            raise self.unreadable(event, key, f"the file has more than {MAX_VALUES} values")

    def alias(self, event: Any, key: Key) -> Any:
        if event.anchor not in self.anchors:
            raise self.unreadable(event, key, f"*{event.anchor} stands for nothing that is complete before it")
        value, size = self.anchors[event.anchor]
        self.spend(event, key, size)
        return value

    def scalar(self, event: Any, key: Key) -> Any:
        text: str = event.value
        if FORBIDDEN.search(text):
            raise self.unreadable(event, key, "holds a control character")
        if not event.implicit[0] or event.style not in (None, ""):
            return text
        if text in CONSTANTS:
            return CONSTANTS[text]
        if INTEGER.fullmatch(text):
            return int(text)
        if FLOAT.fullmatch(text):
            return float(text)
        return text

    def sequence(self, key: Key) -> list[Any]:
        import yaml

        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, (*key, len(items))))
        return items

    def mapping(self, key: Key) -> dict[str, Any]:
        import yaml

        entries: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise self.unreadable(event, key, "a key must be plain text")
            name: str = event.value
            if name == "<<" and event.style in (None, ""):
                raise self.unreadable(event, key, "merge keys (<<) are not used here; write the keys out")
            if FORBIDDEN.search(name):
                raise self.unreadable(event, key, "a key holds a control character")
            mark = _mark(event)
            path = (*key, name)
            if name in entries:
                first = self.marks[path]
                message = f"stands twice; it was given in line {first.line} already"
                self.duplicates.append(Problem(mark, dotted(path), message))
            else:
                self.marks[path] = mark
            value = self.node(next(self.events), path)
            entries.setdefault(name, value)
        return entries
