"""kill -9 at every write point (I3, I4, I8): the next run loads what was promised, and finishes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import states
from cloudmodel.engine import journal, normal
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.journal import Journal
from cloudmodel.engine.secrets import passphrase_source
from cloudmodel.engine.state import Mutation, State

CALLS = ("open", "write", "pwrite", "fsync", "fdatasync", "replace", "rename", "unlink", "link", "ftruncate", "mkdir")
HIDDEN = states.bucket("b", inputs={"p": states.secret()})


@dataclass
class Failpoint:
    """Kills this process at the nth call that touches the disk: before it, after it, or in the middle of a write."""

    at: int
    moment: str
    count: int = 0

    def arm(self) -> None:
        for name in CALLS:
            setattr(os, name, self._wrapped(getattr(os, name)))
        journal._sync = os.fdatasync

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            due = self.count == self.at
            if due and self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            if due and self.moment == "torn" and call.__name__ == "pwrite":
                descriptor, content, *rest = arguments
                call(descriptor, content[: len(content) // 2], *rest)
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*arguments, **options)
            finally:
                if due:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted


@pytest.fixture(autouse=True)
def memory_is_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves its writes in the kernel, synced or not: the calls are counted, not waited for."""

    def fsync(_: int) -> None: ...

    def fdatasync(_: int) -> None: ...

    for call in (fsync, fdatasync):
        monkeypatch.setattr(os, call.__name__, call)
    monkeypatch.setattr(journal, "_sync", fdatasync)


def stack(folder: Path) -> StackFolder:
    return StackFolder(folder / ".cloudmodel", states.PROJECT, states.STACK, states.passphrase())


def create(recorder: Journal, promised: Callable[[], None]) -> None:
    """What an `up` does: two creates, an update that needs no call, a delete; `promised` after each record."""
    if not recorder.state.live(states.ROOT):
        recorder.write(states.put(*states.BASE))
        promised()
    for entry in (HIDDEN, states.bucket("c", dependencies=(states.urn("b"),))):
        if recorder.state.live(entry.urn):
            continue
        pending = [each for each in recorder.state.pending if each.resource.urn == entry.urn]
        if pending:
            recorder.settle(pending[0], states.put(entry))
        else:
            number = recorder.begin(states.creating(entry))
            promised()
            recorder.end(number, states.put(entry))
        promised()
    recorder.write(states.put(states.bucket("c", protect=True, dependencies=(states.urn("b"),))))
    promised()
    old = recorder.state.live(states.urn("a"))
    if old:
        recorder.write(Mutation(drop=(old.key,)))
        promised()


def killed_at(folder: Path, failpoint: Failpoint) -> tuple[bool, int]:
    """Run `create` in a process of its own; whether it was killed, and how many records it was promised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            tell = os.write
            failpoint.arm()
            with stack(folder).open("up") as recorder:
                create(recorder, lambda: void(tell(writing, b".")))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as promises:
        count = len(promises.read())
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True, count
    assert os.waitstatus_to_exitcode(status) == 0
    return False, count


def void(_: object) -> None: ...


def expected(start: Path) -> list[State]:
    """The state before and after each record of an undisturbed run."""
    seen: list[State] = []
    with stack(start).open("up") as recorder:
        seen.append(recorder.state)
        create(recorder, lambda: seen.append(recorder.state))
    return seen


def empty(folder: Path) -> Path:
    """A stack that was never up."""
    folder.mkdir()
    return folder


def prepared(folder: Path) -> Path:
    """A stack with one bucket and the state before that among its backups."""
    with stack(folder).open("up") as recorder:
        recorder.write(states.put(*states.BASE))
    with stack(folder).open("up") as recorder:
        recorder.write(states.put(states.bucket("a", inputs={"p": states.secret()})))
    return folder


def copied(start: Path, folder: Path) -> Path:
    shutil.copytree(start, folder)
    return folder


@pytest.mark.parametrize(
    ("before", "moment"), [(empty, "torn"), (prepared, "before"), (prepared, "after"), (prepared, "torn")]
)
def test_a_run_that_is_killed_anywhere_loses_no_promise_and_is_finished_by_the_next(
    tmp_path: Path, before: Callable[[Path], Path], moment: str
) -> None:
    start = before(tmp_path / "start")
    steps = expected(before(tmp_path / "whole"))
    final = normal.fingerprint(stack(tmp_path / "whole").load())
    kills = 0
    for at in range(1, 1000):
        folder = copied(start, tmp_path / str(at))
        killed, promised = killed_at(folder, Failpoint(at, moment))
        loaded = stack(folder).load()
        # What was promised is there; the record that was under way may be.
        assert any(normal.equal(loaded, state) for state in steps[promised : promised + 2]), (at, promised)
        with stack(folder).open("up") as recorder:
            create(recorder, lambda: None)
        assert normal.fingerprint(stack(folder).load()) == final
        kept = {path.name for path in stack(folder).folder.iterdir()}
        assert kept <= {"checkpoint.json", "history.ndjson", "backups", "gate"}, at
        assert all(path.stat().st_size for path in stack(folder).backups())
        kills += killed
        if not killed:
            break
    assert kills >= 40


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_import_that_is_killed_anywhere_leaves_the_old_state_or_the_new_one(tmp_path: Path, moment: str) -> None:
    document = stack(prepared(tmp_path / "source")).export()
    start = prepared(tmp_path / "start")
    with stack(start).open("up") as recorder:
        recorder.write(states.put(states.bucket("x")))
    for at in range(1, 1000):
        folder = copied(start, tmp_path / str(at))
        old = normal.fingerprint(stack(folder).load())
        child = os.fork()
        if child == 0:
            code = 1
            try:
                Failpoint(at, moment).arm()
                stack(folder).import_(document)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        new = normal.fingerprint(stack(tmp_path / "source").load())
        assert normal.fingerprint(stack(folder).load()) in (old, new)
        stack(folder).import_(document)
        assert normal.fingerprint(stack(folder).load()) == new
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            return
    raise AssertionError("it never came to its end")


def test_a_key_file_whose_making_was_killed_anywhere_is_whole_or_made_again(tmp_path: Path) -> None:
    for at in range(1, 100):
        key_file = tmp_path / str(at) / "passphrase"
        child = os.fork()
        if child == 0:
            try:
                Failpoint(at, "before").arm()
                passphrase_source(key_file, {})(True)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert len(passphrase_source(key_file, {})(True).text) > 30
        if not os.WIFSIGNALED(status):
            return
    raise AssertionError("it never came to its end")
