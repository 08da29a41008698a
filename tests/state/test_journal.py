"""The journal gives back what was recorded, cut anywhere, and nothing that was damaged."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import states
from cloudmodel.core.errors import StateCorrupt
from cloudmodel.engine import journal, normal
from cloudmodel.engine.journal import Journal, replay
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import Mutation, PendingKind, PendingOperation, State

EMPTY = states.state()
HIDDEN = states.bucket("a", inputs={"p": states.secret()})


def recorder(path: Path, state: State = EMPTY, secrets: Secrets | None = None) -> Journal:
    secrets = secrets or states.passphrase()
    start = replay(b"", state, "", secrets, str(path))
    return Journal(path, start, "", secrets, contextlib.nullcontext, "cloudmodel up --stack dev")


def replayed(content: bytes, state: State = EMPTY) -> State:
    return replay(content, state, "", states.passphrase(), "the test").book.state


def play(target: Journal, history: list[tuple[str, Any]]) -> list[State]:
    """Record `history`; the state before and after every record."""
    seen = [target.state]

    for kind, what in history:
        if kind == "write":
            target.write(what)
        elif kind == "begin":
            target.begin(what)
        else:
            operation, mutation = what
            number = target.begin(operation)
            seen.append(target.state)
            target.end(number, mutation)
        seen.append(target.state)
    return seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals")


@pytest.fixture(autouse=True, scope="module")
def no_disk() -> Iterator[None]:
    """Hundreds of journals are written here to be read back; that they reach the disk is tested by name below."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_sync", lambda _: None)
        yield


def written(folder: Path, history: list[tuple[str, Any]], state: State = EMPTY) -> tuple[bytes, list[State]]:
    path = folder / "journal.ndjson"
    path.unlink(missing_ok=True)
    target = recorder(path, state)
    seen = play(target, history)
    target.close()
    return path.read_bytes(), seen


@given(state=states.states(), history=states.histories())
@settings(max_examples=40)
def test_a_journal_gives_back_what_was_recorded(folder: Path, state: State, history: list[tuple[str, Any]]) -> None:
    state = normal.canonical(state)
    content, seen = written(folder, history, state)
    assert replayed(content, state) == seen[-1]


@given(history=states.histories())
@settings(max_examples=1, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example(history=[("step", (states.creating(HIDDEN), states.put(HIDDEN))), ("begin", states.creating(HIDDEN))])
def test_cut_at_any_byte_it_gives_the_state_after_some_record(folder: Path, history: list[tuple[str, Any]]) -> None:
    content, seen = written(folder, history)
    secrets = states.passphrase()
    for cut in range(len(content) + 1):
        whole = content[:cut].count(b"\n")
        assert replay(content[:cut], EMPTY, "", secrets, "the test").book.state == seen[whole]


@given(history=states.histories().filter(lambda history: len(history) > 1), chance=st.randoms())
@settings(max_examples=25)
def test_damage_before_the_last_line_is_refused(folder: Path, history: list[tuple[str, Any]], chance: Any) -> None:
    content, _ = written(folder, history)
    *_, last = content.splitlines()
    for _ in range(40):
        position = chance.randrange(len(content) - len(last) - 1)
        other = chance.choice([byte for byte in (0, 10, 32, 65, 255) if byte != content[position]])
        damaged = content[:position] + bytes([other]) + content[position + 1 :]
        with pytest.raises(StateCorrupt) as caught:
            replayed(damaged)
        assert caught.value.where == "the test"


THREE = [("write", states.put(states.bucket(name))) for name in "abc"]


def test_damage_names_its_line(folder: Path) -> None:
    content, _ = written(folder, THREE)
    lines = content.splitlines(keepends=True)
    lines[1] = lines[1].replace(b"arn:aws", b"arn:awz")
    with pytest.raises(StateCorrupt, match="line 2 of the journal is damaged"):
        replayed(b"".join(lines))


@pytest.mark.parametrize("order", [(0, 2), (0, 2, 1), (1, 2), (0, 0, 1), (0, 1, 1, 2), (2,)])
def test_lines_that_are_missing_moved_or_doubled_are_refused(folder: Path, order: tuple[int, ...]) -> None:
    content, _ = written(folder, THREE)
    lines = content.splitlines(keepends=True)
    with pytest.raises(StateCorrupt, match="damaged"):
        replayed(b"".join(lines[index] for index in order))


def test_a_last_line_with_a_block_that_never_reached_the_disk_is_torn(folder: Path) -> None:
    content, seen = written(folder, THREE)
    *before, last = content.splitlines(keepends=True)
    holed = last[:40] + b"\0" * 20 + last[60:]
    assert replayed(b"".join(before) + holed) == seen[-2]


def test_a_last_line_that_was_written_in_full_and_changed_is_refused(folder: Path) -> None:
    content, _ = written(folder, THREE)
    with pytest.raises(StateCorrupt, match="line 3"):
        replayed(content.replace(b'"c-1a2b"', b'"c-1a2c"'))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"journal": 2}, "version 2"),
        ({"stack": "prod"}, "not of digits/dev"),
        ({"project": "other"}, "not of digits/dev"),
        ({"base": "ab" * 32}, "another checkpoint"),
        ({"records": [{"op": "dance", "put": [], "drop": []}]}, "line 1"),
        ({"records": [{"op": "end", "number": 7, "put": [], "drop": []}]}, "line 1"),
        ({"records": [3]}, "line 1"),
        ({"records": [{"op": "write", "put": [{}], "drop": []}]}, "no URN"),
    ],
)
def test_a_journal_of_another_kind_is_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    content, _ = written(folder, THREE[:1])
    document = {**json.loads(content), **change}
    del document["sum"]
    body = json.dumps(document).encode()
    with pytest.raises(StateCorrupt, match=said):
        replayed(b'{"sum":"' + journal._sum("", body).encode() + b'",' + body[1:] + b"\n")


def test_a_torn_tail_is_cut_off_before_more_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.ndjson"
    long = states.bucket("long", inputs={"text": "x" * 2000})  # longer than what comes in its place
    content, _ = written(tmp_path, [*THREE[:1], ("write", states.put(long))])
    head, last = content.splitlines(keepends=True)
    path.write_bytes(head + b"\0" * 40 + last[40:])
    secrets = states.passphrase()
    start = replay(path.read_bytes(), EMPTY, "", secrets, str(path))
    target = Journal(path, start, "", secrets, contextlib.nullcontext, "")
    target.write(states.put(states.bucket("z")))
    target.close()
    assert [entry.name for entry in replayed(path.read_bytes()).resources[2:]] == ["a", "z"]


def test_operations_of_an_earlier_run_are_settled_by_name(tmp_path: Path) -> None:
    pending = states.creating(states.bucket("a"))
    target = recorder(tmp_path / "journal.ndjson", states.state(pending=(pending,)))
    (earlier,) = target.state.pending
    number = target.begin(states.creating(states.bucket("b")))
    target.settle(earlier, states.put(states.bucket("a")))
    assert [operation.resource.name for operation in target.state.pending] == ["b"]
    target.end(number, Mutation())
    again = replayed((tmp_path / "journal.ndjson").read_bytes(), states.state(pending=(pending,)))
    assert again == target.state
    assert again.pending == ()
    assert again.live(states.urn("a"))


def test_an_operation_ends_once(tmp_path: Path) -> None:
    target = recorder(tmp_path / "journal.ndjson")
    number = target.begin(states.creating(states.bucket("a")))
    target.end(number, Mutation())
    with pytest.raises(ValueError, match="not pending"):
        target.end(number, Mutation())
    with pytest.raises(ValueError, match="pending"):
        target.settle(states.creating(states.bucket("a")), Mutation())


def test_the_state_is_in_canonical_order_whatever_the_order_of_the_records(tmp_path: Path) -> None:
    target = recorder(tmp_path / "journal.ndjson", states.state(states.bucket("a")))
    target.write(states.put(states.bucket("b")))
    target.write(states.put(states.bucket("a", dependencies=(states.urn("b"),))))
    assert [entry.name for entry in target.state.resources] == ["default_7_51_1", "digits-dev", "b", "a"]


def test_a_record_is_on_the_disk_before_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I3: the file and, where it was made, its folder."""
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/dev/fd/{descriptor}").resolve().name)

    monkeypatch.setattr(journal, "_sync", sync)
    monkeypatch.setattr(journal, "sync_folder", lambda folder: synced.append(folder.name))
    target = recorder(tmp_path / "journal.ndjson")
    number = target.begin(states.creating(states.bucket("a")))
    assert synced == ["journal.ndjson", tmp_path.name]
    target.end(number, states.put(states.bucket("a")))
    assert synced == ["journal.ndjson", tmp_path.name, "journal.ndjson"]


def test_threads_that_wait_together_share_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first record is being written, fifteen more come; they need one more write, not fifteen."""
    target = recorder(tmp_path / "journal.ndjson")
    others = [
        threading.Thread(target=target.begin, args=(states.creating(states.bucket(f"b{index}")),))
        for index in range(15)
    ]
    writes: list[int] = []

    def sync(descriptor: int) -> None:
        writes.append(descriptor)
        if len(writes) == 1:
            for thread in others:
                thread.start()
            while len(target._queue) < len(others):
                os.sched_yield()

    monkeypatch.setattr(journal, "_sync", sync)
    target.begin(states.creating(states.bucket("a")))
    for thread in others:
        thread.join(timeout=30)
    assert len(writes) == 2
    assert len(target.state.pending) == 16
    assert replayed((tmp_path / "journal.ndjson").read_bytes()) == target.state


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    target = recorder(tmp_path / "journal.ndjson")
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for index in range(20):
                entry = states.bucket(f"w{worker}x{index}", inputs={"s": states.secret(index)})
                number = target.begin(states.creating(entry))
                assert number not in seen
                seen.add(number)
                target.end(number, states.put(entry))
        except BaseException as error:
            failures.append(error)

    seen: set[int] = set()
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    state = replayed((tmp_path / "journal.ndjson").read_bytes())
    assert state == target.state
    assert (len(state.resources), state.pending) == (162, ())


def test_secrets_are_sealed_in_the_journal(folder: Path) -> None:
    entry = states.bucket("a", inputs={"p": states.secret()}, outputs={"l": [states.secret({"k": states.CANARY})]})
    operation = PendingOperation(entry, PendingKind.UPDATING)
    content, seen = written(folder, [("step", (operation, states.put(entry)))])
    assert states.CANARY.encode() not in content
    assert replayed(content) == seen[-1]
