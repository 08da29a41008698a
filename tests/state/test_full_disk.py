"""A disk that refuses (I16): nothing is lost, nothing more is begun, and one command goes on from there."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

import states
from cloudmodel.core.errors import CloudmodelError, SaveFailed
from cloudmodel.engine import journal, normal
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.journal import Journal
from cloudmodel.engine.state import Mutation, State

CALLS = ("open", "pwrite", "fsync", "fdatasync", "replace", "ftruncate", "mkdir")
Open = Callable[..., StackFolder]
AGAIN = "run `cloudmodel up --stack dev`"


@contextmanager
def refusing(code: int, at: int) -> Iterator[Callable[[], int]]:
    """From the nth call on, whatever would write to the disk fails with `code`; yields how many calls there were."""
    count = 0

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if call.__name__ != "open" or arguments[1] & os.O_CREAT:
                count += 1
                if count >= at:
                    raise OSError(code, os.strerror(code))
            return call(*arguments, **options)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrapped(getattr(os, name)))
        patch.setattr(journal, "_sync", os.fdatasync)
        yield lambda: count


def work(recorder: Journal, seen: list[State], at: int = 0) -> None:
    """One record that needs no call and two creates; the state after each."""
    seen.append(recorder.state)
    recorder.write(states.put(states.bucket("a", id=f"id-{at}")))
    seen.append(recorder.state)
    for name in "bc":
        entry = states.bucket(name, inputs={"p": states.secret()})
        number = recorder.begin(states.creating(entry))
        seen.append(recorder.state)
        recorder.end(number, states.put(entry))
        seen.append(recorder.state)


def undisturbed(state: State, folder: Path, at: int) -> list[State]:
    """The states of `work` on a disk that takes everything."""
    secrets = states.passphrase()
    path = folder / f"undisturbed-{at}.ndjson"
    start = journal.replay(b"", state, "", secrets, str(path))
    seen: list[State] = []
    recorder = Journal(path, start, "", secrets, nullcontext, "")
    work(recorder, seen, at)
    recorder.close()
    return seen


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_from_some_write_on_loses_nothing(stood: Open, tmp_path: Path, code: int) -> None:
    folder = stood()
    checkpoint = folder.folder / "checkpoint.json"
    failed = 0
    for at in range(1, 200):
        before = checkpoint.read_bytes()
        steps = undisturbed(stood().load(), tmp_path, at)
        raised: SaveFailed | None = None
        seen: list[State] = []
        with refusing(code, at) as calls:
            try:
                with stood().open("up") as recorder:
                    work(recorder, seen, at)
            except SaveFailed as error:
                raised = error
            refused = calls() >= at
        loaded = stood().load()
        if raised:
            failed += 1
            # Every promise is kept; the record whose sync failed may be in the file or not.
            promised = max(len(seen) - 1, 0)
            assert any(normal.equal(loaded, state) for state in steps[promised : promised + 2]), at
            if promised < len(steps) - 1:
                assert checkpoint.read_bytes() == before
            assert os.strerror(code) in raised.message
            assert raised.hint
            assert raised.hint.count("`") in (0, 2)
        # The disk has room again: the same command finishes, and the next case starts from one state.
        with stood().open("up") as recorder:
            for operation in recorder.state.pending:
                recorder.settle(operation, states.put(states.bucket(operation.resource.name)))
            for entry in recorder.state.resources:
                if entry.name in "bc":
                    recorder.write(Mutation(drop=(entry.key,)))
        assert stood().holder() is None
        if not refused:
            break
    assert failed >= 15


def test_until_the_checkpoint_is_replaced_it_keeps_its_bytes(stood: Open) -> None:
    folder = stood()
    before = (folder.folder / "checkpoint.json").read_bytes()
    recorded: list[State] = []
    with pytest.raises(SaveFailed) as caught, stood().open("up") as recorder:
        work(recorder, recorded)
        room = refusing(errno.ENOSPC, 1)
        room.__enter__()
        try:
            with pytest.raises(SaveFailed, match="No space"):
                recorder.begin(states.creating(states.bucket("d")))
        finally:
            room.__exit__(None, None, None)
        # There is room again, and still nothing may begin: the run is over.
        with pytest.raises(SaveFailed):
            recorder.begin(states.creating(states.bucket("e")))
        with pytest.raises(SaveFailed):
            recorder.write(states.put(states.bucket("f")))
    assert AGAIN in str(caught.value.hint)
    assert caught.value.where == str(folder.folder)
    assert (folder.folder / "checkpoint.json").read_bytes() == before
    assert (folder.folder / "journal.ndjson").exists()
    assert stood().load() == recorded[-1]
    assert stood().history()[-1].result == "failed"


def test_a_file_that_may_not_grow_loses_nothing(stood: Open) -> None:
    """The kernel's own refusal, in the middle of a write: a limit on the size of files, growing byte by byte."""
    checkpoint = stood().folder / "checkpoint.json"
    promised_once = False
    for limit in range(600, 9000, 331):
        before = checkpoint.read_bytes()
        start = stood().load()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 3
            try:
                os.close(reading)
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    with stood().open("up") as recorder:
                        for name in ("b", "c", f"n{limit}"):
                            recorder.write(states.put(states.bucket(name, inputs={"p": states.secret(), "n": limit})))
                            os.write(writing, b".")
                    code = 0
                except SaveFailed:
                    code = 1
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            promised = len(pipe.read())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 1)
        loaded = stood().load()
        names = [entry.name for entry in loaded.resources if entry.inputs.get("n") == limit]
        assert names == [*"bc", f"n{limit}"][:promised]
        if code == 1:
            assert checkpoint.read_bytes() == before
            promised_once = promised_once or promised > 0
        with stood().open("up") as recorder:
            recorder.write(states.put(*start.resources))
    assert promised_once


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / ".cloudmodel").write_text("a file in the way")
    folder = StackFolder(tmp_path / ".cloudmodel", states.PROJECT, states.STACK, states.passphrase())
    with pytest.raises(CloudmodelError) as caught, folder.open("up"):
        pass
    assert isinstance(caught.value, SaveFailed)
    assert caught.value.hint
