"""One run a stack (I6), and none that writes after its lock was broken (I7)."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import states
from cloudmodel.core.errors import StackLocked, UsageError
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.lock import StackLock
from cloudmodel.engine.pulse import Pulse

FORK = multiprocessing.get_context("fork")
Open = Callable[..., StackFolder]


@pytest.fixture
def lock(tmp_path: Path) -> StackLock:
    return StackLock(tmp_path / "dev", "dev")


def change(lock: StackLock, folder: Path, **fields: Any) -> None:
    """Make the lock that is held look like somebody else's."""
    file = folder / "dev" / "lock"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def contend(folder: Path, worker: int, start: Any, pipe: Connection) -> None:
    """Open the stack with the others; who wins records one bucket and waits for the referee."""
    stack = StackFolder(folder / ".cloudmodel", states.PROJECT, states.STACK, states.passphrase())
    start.wait(30)
    try:
        with stack.open("up") as recorder:
            recorder.write(states.put(*states.BASE, states.bucket(f"w{worker}")))
            pipe.send("won")
            pipe.recv()
    except StackLocked as error:
        pipe.send(str(error.details["holder"]["pid"]))


@pytest.mark.parametrize(("workers", "rounds"), [(2, 15), (8, 4)])
def test_of_processes_that_start_together_one_wins(tmp_path: Path, workers: int, rounds: int) -> None:
    for number in range(rounds):
        folder = tmp_path / str(number)
        start = FORK.Barrier(workers)
        pipes, children = [], []
        for worker in range(workers):
            ours, theirs = FORK.Pipe()
            child = FORK.Process(target=contend, args=(folder, worker, start, theirs))
            child.start()
            pipes.append(ours)
            children.append(child)
        answers = [pipe.recv() if pipe.poll(30) else "silent" for pipe in pipes]
        winner = answers.index("won")
        assert [answer for answer in answers if answer != "won"] == [str(children[winner].pid)] * (workers - 1)
        pipes[winner].send("end")
        for child in children:
            child.join(30)
            assert child.exitcode == 0
        stack = StackFolder(folder / ".cloudmodel", states.PROJECT, states.STACK, states.passphrase())
        assert [entry.name for entry in stack.load().resources[2:]] == [f"w{winner}"]
        assert stack.holder() is None
        assert [entry.result for entry in stack.history()] == ["succeeded"]


def test_the_loser_learns_who_holds_the_stack(lock: StackLock, tmp_path: Path) -> None:
    lock.acquire("up")
    change(lock, tmp_path, owner="anna", host="build-7", pid=4711, time="2026-11-24T10:00:00+00:00")
    with pytest.raises(StackLocked) as caught:
        StackLock(tmp_path / "dev", "dev").acquire("destroy")
    assert "the stack dev is locked: up by anna on build-7 (pid 4711), for " in caught.value.message
    assert str(caught.value.hint).endswith(f"cloudmodel state unlock --stack dev --id {lock.id}")
    assert caught.value.details["holder"]["id"] == lock.id
    assert caught.value.code == 16


def test_two_runs_in_one_process_are_two_runs(lock: StackLock, tmp_path: Path) -> None:
    lock.acquire("up")
    with pytest.raises(StackLocked):
        StackLock(tmp_path / "dev", "dev").acquire("up")


def test_each_holder_has_the_next_generation(lock: StackLock) -> None:
    seen = []
    for _ in range(3):
        lock.acquire("up")
        owner = lock.owner()
        assert owner
        seen.append(owner.generation)
        lock.release()
    assert seen == [1, 2, 3]
    assert lock.owner() is None


def hold(folder: Path, pipe: Connection) -> None:
    StackLock(folder / "dev", "dev").acquire("up")
    pipe.send("held")
    signal.pause()


@pytest.mark.parametrize("reaped", [True, False])
def test_the_lock_of_a_killed_process_is_taken_over_with_a_note(lock: StackLock, tmp_path: Path, reaped: bool) -> None:
    ours, theirs = FORK.Pipe()
    child = FORK.Process(target=hold, args=(tmp_path, theirs))
    child.start()
    assert ours.recv() == "held"
    with pytest.raises(StackLocked):
        lock.acquire("up")
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    if reaped:
        child.join(30)
    else:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert f"pid {child.pid}" in lock.acquire("up")
    child.join(30)


def test_a_pid_that_another_process_has_now_is_not_the_holder(lock: StackLock, tmp_path: Path) -> None:
    lock.acquire("up")
    change(lock, tmp_path, born="another-boot:1")
    assert "took over" in StackLock(tmp_path / "dev", "dev").acquire("up")


@pytest.mark.parametrize("field", ["host", "namespace"])
def test_a_run_elsewhere_is_judged_by_its_last_sign_of_life(lock: StackLock, tmp_path: Path, field: str) -> None:
    now = time.time()
    other = StackLock(tmp_path / "dev", "dev", lambda: now)
    lock.acquire("up")
    change(lock, tmp_path, born="another-boot:1", **{field: "elsewhere"})

    def seen(after: float) -> tuple[bool, bool]:
        nonlocal now
        now += after
        holder = other.owner()
        assert holder
        return holder.lives, holder.over

    assert seen(250) == (True, False)
    with pytest.raises(StackLocked, match="last sign of life 4 min ago") as refused:
        other.acquire("up")
    assert str(refused.value.hint).startswith("wait for it; if it is gone: ")
    assert seen(120) == (False, True)
    with pytest.raises(StackLocked) as refused:
        other.acquire("up")
    assert str(refused.value.hint).startswith("that run is over: ")
    # An earlier version gives no sign: nothing can be said.
    change(lock, tmp_path, beats=False)
    assert seen(1e6) == (False, False)
    assert other.unlock(lock.id).id == lock.id
    assert other.acquire("up") == ""


def test_a_sign_of_life_is_of_its_own_lock_only(tmp_path: Path) -> None:
    now = time.time()
    mine = StackLock(tmp_path / "dev", "dev", lambda: now)
    mine.acquire("up")
    now += 3600
    mine.renew()
    holder = mine.owner()
    assert holder and holder.silent is not None and holder.silent < 1
    StackLock(tmp_path / "dev", "dev").unlock(mine.id)
    with pytest.raises(StackLocked, match="broken"):
        mine.renew()


def test_a_pulse_outlasts_a_store_that_is_away_and_ends_with_the_lock() -> None:
    outcomes = iter([None, OSError("away"), None, StackLocked("broken")])
    waited: list[float] = []
    lost = threading.Event()

    def renew() -> None:
        if failed := next(outcomes):
            raise failed

    def a_minute_later(seconds: float) -> bool:
        waited.append(seconds)
        return False

    Pulse(renew, lost.set, a_minute_later)
    assert lost.wait(30)
    assert waited == [60.0] * 4


def test_a_holder_hears_that_its_lock_was_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudmodel.engine.pulse.EVERY", 0.001)
    lost, given_back = threading.Event(), threading.Event()
    mine = StackLock(tmp_path / "dev", "dev")
    mine.acquire("up", given_back.set)
    mine.release()
    mine.acquire("up", lost.set)
    StackLock(tmp_path / "dev", "dev").unlock(mine.id)
    assert lost.wait(30) and not given_back.is_set()


def test_unlocking_takes_the_id_of_the_lock_that_is_there(lock: StackLock, tmp_path: Path) -> None:
    other = StackLock(tmp_path / "dev", "dev")
    with pytest.raises(UsageError, match="not locked"):
        other.unlock("x")
    lock.acquire("up")
    with pytest.raises(StackLocked):
        other.unlock("x")
    with lock.guard():
        pass


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xff", b'{"id": 1}'])
def test_an_unreadable_lock_holds_until_it_is_unlocked(lock: StackLock, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "lock").write_bytes(content)
    with pytest.raises(StackLocked, match="unreadable") as caught:
        lock.acquire("up")
    lock.unlock(str(caught.value.hint).split()[-1])
    lock.acquire("up")


def test_a_holder_whose_lock_was_broken_writes_nothing(stood: Open) -> None:
    victim, other = stood(), stood()
    before = (victim.folder / "checkpoint.json").read_bytes()
    with pytest.raises(StackLocked, match="broken"), victim.open("up") as recorder:
        number = recorder.begin(states.creating(states.bucket("b")))
        journal = (victim.folder / "journal.ndjson").read_bytes()
        holder = other.holder()
        assert holder
        other.unlock(holder.id)
        with pytest.raises(StackLocked, match="broken"):
            recorder.end(number, states.put(states.bucket("b")))
        with pytest.raises(StackLocked, match="broken"):
            recorder.begin(states.creating(states.bucket("c")))
        assert [operation.resource.name for operation in recorder.state.pending] == ["b"]
    assert (victim.folder / "checkpoint.json").read_bytes() == before
    assert (victim.folder / "journal.ndjson").read_bytes() == journal
    assert [operation.resource.name for operation in other.load().pending] == ["b"]


def test_a_holder_whose_lock_was_taken_leaves_the_new_holder_alone(stood: Open) -> None:
    victim, other = stood(), stood()
    with pytest.raises(StackLocked), victim.open("up") as recorder:
        holder = other.holder()
        assert holder
        other.unlock(holder.id)
        with other.open("up") as theirs:
            theirs.write(states.put(states.bucket("theirs")))
            with pytest.raises(StackLocked):
                recorder.write(states.put(states.bucket("mine")))
            recorder.close()
            assert other.holder()
    names = [entry.name for entry in stood().load().resources[2:]]
    assert names == ["a", "theirs"]


def test_a_run_whose_folder_was_removed_does_not_bring_it_back(stood: Open) -> None:
    victim, other = stood(), stood()
    with pytest.raises(StackLocked), victim.open("up") as recorder:
        holder = other.holder()
        assert holder
        other.unlock(holder.id)
        other.remove(force=True)
        recorder.write(states.put(states.bucket("b")))
    assert not victim.folder.exists()


def test_the_lock_is_for_its_owner_only(lock: StackLock, tmp_path: Path) -> None:
    lock.acquire("up")
    for name in ("lock", "gate"):
        assert stat.S_IMODE((tmp_path / "dev" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "dev").stat().st_mode) == 0o700
