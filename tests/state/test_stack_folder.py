"""The folder of a stack: what is saved, kept, refused and left as it is (I5, I18), and forgotten."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import states
from cloudmodel.core.errors import (
    Cancelled,
    CloudmodelError,
    CredentialsMissing,
    OperationFailed,
    StateCorrupt,
    UsageError,
)
from cloudmodel.engine import normal
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.state import Mutation, State

Open = Callable[..., StackFolder]


def files(folder: Path) -> dict[str, bytes]:
    """Everything that is kept, without the counter of who held the lock."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "gate")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_stack_that_was_never_up_is_empty_and_reading_makes_nothing(opened: Open) -> None:
    folder = opened()
    assert folder.load() == State(states.PROJECT, states.STACK)
    assert (folder.exists(), folder.history(), folder.backups(), folder.holder(), folder.verify()) == (
        False,
        (),
        (),
        None,
        (),
    )
    assert not folder.folder.parent.parent.exists()


def test_what_was_recorded_is_there_for_the_next_process(stood: Open) -> None:
    state = stood().load()
    assert [entry.name for entry in state.resources] == ["default_7_51_1", "digits-dev", "a"]
    assert state.resources[2].inputs == {"password": states.secret()}
    assert stood().exists()
    assert stood().verify() == ()
    assert not (stood().folder / "journal.ndjson").exists()


def test_everything_is_for_its_owner_only(stood: Open) -> None:
    with stood().open("up") as recorder:
        recorder.write(states.put(states.bucket("b")))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in stood().folder.rglob("*")}
    modes |= {path.name: stat.S_IMODE(path.stat().st_mode) for path in stood().folder.parent.parent.rglob("*")}
    folders = {"stacks", "dev", "backups"}
    assert {name: mode for name, mode in modes.items() if mode != (0o700 if name in folders else 0o600)} == {}
    assert {"checkpoint.json", "journal.ndjson", "lock", "gate", "history.ndjson"} | folders <= set(modes)


def test_no_secret_stands_in_clear_in_any_file(stood: Open) -> None:
    folder = stood()
    hidden = states.bucket("b", inputs={"p": states.secret()}, outputs={"l": [states.secret([states.CANARY])]})
    with pytest.raises(OperationFailed), folder.open("up", message="m") as recorder:
        recorder.begin(states.creating(hidden))
        recorder.write(states.put(hidden))
        during = files(folder.folder)
        raise OperationFailed("no")
    with folder.open("up") as recorder:
        recorder.write(states.put(replace(hidden, id="other")))
    found = during | {f"after/{name}": content for name, content in files(folder.folder).items()}
    assert {name for name in found if "journal" in name or "checkpoint" in name} >= {
        "journal.ndjson",
        "after/checkpoint.json",
        "after/backups/checkpoint-000001.json",
    }
    assert [name for name, content in found.items() if states.CANARY.encode() in content] == []


def test_a_run_that_changes_nothing_writes_no_state(stood: Open) -> None:
    folder = stood()
    before = (folder.folder / "checkpoint.json").read_bytes()
    with folder.open("up"):
        pass
    with folder.open("up") as recorder:
        entry = recorder.state.resources[2]
        number = recorder.begin(states.creating(entry))
        recorder.end(number, states.put(replace(entry, modified="2027-01-01T00:00:00Z")))
    assert (folder.folder / "checkpoint.json").read_bytes() == before
    assert folder.backups() == ()
    assert not (folder.folder / "journal.ndjson").exists()


def test_what_did_not_change_keeps_its_bytes(stood: Open) -> None:
    folder = stood()
    before = (folder.folder / "checkpoint.json").read_text().splitlines()
    with folder.open("up") as recorder:
        recorder.write(states.put(states.bucket("b"), recorder.state.resources[2]))
    after = (folder.folder / "checkpoint.json").read_text().splitlines()
    added = [line for line in after if line not in before]
    assert len([line for line in added if '"urn"' in line and "::b" in line]) == 1
    assert [line for line in before if "::a" in line and line.rstrip(",") not in "".join(after)] == []


def test_the_last_ten_states_are_kept(stood: Open) -> None:
    folder = stood()
    seen = [normal.fingerprint(folder.load())]
    for index in range(13):
        with folder.open("up") as recorder:
            recorder.write(states.put(states.bucket("a", id=f"id-{index}")))
        seen.append(normal.fingerprint(folder.load()))
    backups = folder.backups()
    assert [path.name for path in backups] == [f"checkpoint-{number:06}.json" for number in range(4, 14)]
    assert {path.parent for path in backups} == {folder.folder / "backups"}
    for path, fingerprint in zip(backups, seen[3:13], strict=True):
        folder.import_(json.loads(path.read_bytes()))
        assert normal.fingerprint(stood().load()) == fingerprint


@pytest.mark.parametrize("name", ["..", ".", "...", "", "a/b", "/etc", "../dev", "a\\b", "a\0b", "a b", "ü", "x" * 101])
def test_a_name_that_leads_elsewhere_is_no_stack(opened: Open, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a stack"):
        opened(stack=name)


# What a damaged file looks like, and what is said of it.
DAMAGE: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _: b"", "empty"),
    (lambda content: b"\0" * len(content), "empty"),
    (lambda content: content[: len(content) // 2], "cut short"),
    (lambda content: content[:-4], "cut short"),
    (lambda _: b"garbage\n", "not JSON"),
    (lambda _: b"[]", "not an object"),
    (lambda content: content.replace(b'"version": 3', b'"version": 4', 1), "version 4"),
    (lambda content: content.replace(b"digits/dev", b"digits/prod", 1), "not of digits/dev"),
    (lambda content: content.replace(b'"custom": false', b'"custom": false, "id": "x"', 1), "component"),
    (lambda content: content.replace(b"ciphertext", b"ciphretext", 1), "without a value"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(
    stood: Open, damage: Callable[[bytes], bytes], said: str
) -> None:
    folder = stood()
    with folder.open("up") as recorder:
        recorder.write(states.put(states.bucket("b")))
    file = folder.folder / "checkpoint.json"
    file.write_bytes(damage(file.read_bytes()))
    before = files(folder.folder)
    attempts: list[Callable[[], Any]] = [stood().load, stood().open("up").__enter__]
    for attempt in attempts:
        with pytest.raises(StateCorrupt, match=said) as caught:
            attempt()
        assert caught.value.where == str(file)
        assert str(folder.backups()[-1]) == caught.value.details["backup"]
        assert ("the program that wrote it" in str(caught.value.hint)) == ("version 4" in said)
        assert f"cloudmodel state import --stack dev --file {folder.backups()[-1]}" in str(caught.value.hint)
    assert files(folder.folder) == before
    assert stood().holder() is None


def test_a_checkpoint_cut_at_any_byte_is_refused(stood: Open) -> None:
    folder = stood()
    file = folder.folder / "checkpoint.json"
    content = file.read_bytes()
    for cut in range(len(content) - 1):
        file.write_bytes(content[:cut])
        with pytest.raises(StateCorrupt):
            folder.load()
    file.write_bytes(content[:-1])  # the newline at the end says nothing
    assert folder.load().resources


def test_the_way_back_that_is_named_works(stood: Open) -> None:
    folder = stood()
    good = folder.load()
    with folder.open("up") as recorder:
        recorder.write(states.put(states.bucket("b")))
    (folder.folder / "checkpoint.json").write_bytes(b"")
    with pytest.raises(StateCorrupt) as caught:
        stood().load()
    stood().import_(json.loads(Path(caught.value.details["backup"]).read_bytes()))
    assert normal.equal(stood().load(), good)


def test_a_damaged_backup_is_not_offered(stood: Open) -> None:
    folder = stood()
    for name in "bc":
        with folder.open("up") as recorder:
            recorder.write(states.put(states.bucket(name)))
    folder.backups()[-1].write_bytes(b"{")
    (folder.folder / "checkpoint.json").write_bytes(b"")
    with pytest.raises(StateCorrupt) as caught:
        folder.load()
    assert caught.value.details["backup"] == str(folder.backups()[-2])


def test_a_checkpoint_that_went_missing_is_not_an_empty_stack(stood: Open) -> None:
    folder = stood()
    with folder.open("up") as recorder:
        recorder.write(states.put(states.bucket("b")))
    (folder.folder / "checkpoint.json").unlink()
    with pytest.raises(StateCorrupt, match="missing"):
        stood().load()


def test_a_checkpoint_put_back_under_a_journal_is_refused(stood: Open) -> None:
    folder = stood()
    old = (folder.folder / "checkpoint.json").read_bytes()
    with folder.open("up") as recorder:
        recorder.write(states.put(states.bucket("b")))
    crash(folder)
    (folder.folder / "checkpoint.json").write_bytes(old)
    with pytest.raises(StateCorrupt, match="another checkpoint"):
        stood().load()


def crash(folder: StackFolder) -> None:
    """Leave a journal as a killed run does."""
    run = folder.open("up")
    recorder = run.__enter__()
    recorder.begin(states.creating(states.bucket("z")))
    journal = (folder.folder / "journal.ndjson").read_bytes()
    recorder.end(0, Mutation())
    run.__exit__(None, None, None)
    (folder.folder / "journal.ndjson").write_bytes(journal)


def test_a_damaged_journal_is_refused_with_the_way_back(stood: Open) -> None:
    folder = stood()
    crash(folder)
    journal = folder.folder / "journal.ndjson"
    journal.write_bytes(journal.read_bytes().replace(b'"begin"', b'"BEGIN"'))
    with pytest.raises(StateCorrupt, match="line 1 of the journal is damaged") as caught:
        stood().load()
    assert caught.value.where == str(journal)
    assert "cloudmodel state import" in str(caught.value.hint)


def test_the_next_run_hears_of_what_an_earlier_one_left(stood: Open) -> None:
    folder = stood()
    crash(folder)
    with stood().open("up") as recorder:
        assert any("pending" in note for note in recorder.notes)
        (operation,) = recorder.state.pending
        recorder.settle(operation, states.put(states.bucket("z")))
    assert stood().load().pending == ()
    assert stood().load().live(states.urn("z"))


def test_what_is_still_pending_at_the_end_stays_in_the_checkpoint(stood: Open) -> None:
    with stood().open("up") as recorder:
        recorder.begin(states.creating(states.bucket("z")))
    assert not (stood().folder / "journal.ndjson").exists()
    assert [operation.resource.name for operation in stood().load().pending] == ["z"]


def test_the_wrong_passphrase_is_no_corrupt_state(stood: Open) -> None:
    with pytest.raises(CredentialsMissing):
        stood("another").load()


def test_a_state_without_secrets_needs_no_passphrase(opened: Open) -> None:
    with opened("one").open("up") as recorder:
        recorder.write(states.put(*states.BASE, states.bucket("a")))
    assert opened("another").load().resources


# -- history


def test_the_history_tells_how_each_run_ended(stood: Open) -> None:
    folder = stood()
    with folder.open("up", message="more", environment={"git.head": "abc"}) as recorder:
        recorder.write(states.put(states.bucket("b")))
        recorder.summary = {"create": 1}
    for error in (OperationFailed("x"), Cancelled("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), folder.open("destroy"):
            raise error
    with folder.open("refresh"):
        assert folder.history()[-1].result == "in-progress"
    history = folder.history()
    assert [entry.version for entry in history] == [1, 2, 3, 4, 5, 6]
    assert [entry.result for entry in history] == [
        "succeeded",
        "succeeded",
        "failed",
        "cancelled",
        "cancelled",
        "succeeded",
    ]
    assert (history[1].kind, history[1].message, history[1].summary) == ("up", "more", {"create": 1})
    assert history[1].environment == {"git.head": "abc"}
    assert history[1].started <= history[1].ended


def test_a_failed_run_keeps_what_it_recorded(stood: Open) -> None:
    with pytest.raises(OperationFailed), stood().open("up") as recorder:
        recorder.write(states.put(states.bucket("b")))
        raise OperationFailed("x")
    assert stood().load().live(states.urn("b"))


def test_a_run_that_never_ended_shows_as_interrupted(stood: Open) -> None:
    history = stood().folder / "history.ndjson"
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(lines[0] + lines[1][:20])
    assert [entry.result for entry in stood().history()] == ["interrupted"]
    with stood().open("up"):
        pass
    assert [entry.result for entry in stood().history()] == ["interrupted", "succeeded"]


# -- export, import, remove


def test_an_export_imports_again(stood: Open, opened: Open) -> None:
    document = json.loads(json.dumps(stood().export()))
    state = stood().load()
    stood().remove(force=True)
    opened().import_(document)
    assert normal.equal(opened().load(), state)
    assert [entry.kind for entry in opened().history()] == ["import"]


def test_an_import_is_sealed_as_the_stack_seals(stood: Open, tmp_path: Path) -> None:
    other = StackFolder(tmp_path / "other", states.PROJECT, states.STACK, states.passphrase())
    with other.open("up") as recorder:
        recorder.write(states.put(*states.BASE, states.bucket("x", inputs={"p": states.secret()})))
    salt = stood().export()["deployment"]["secrets_providers"]
    assert other.export()["deployment"]["secrets_providers"] != salt
    stood().import_(other.export())
    assert stood().export()["deployment"]["secrets_providers"] == salt
    assert normal.equal(stood().load(), other.load())
    assert len(stood().backups()) == 1


def test_an_export_with_pending_operations_is_refused(stood: Open) -> None:
    with stood().open("up") as recorder:
        recorder.begin(states.creating(states.bucket("z")))
    with pytest.raises(CloudmodelError, match="pending") as caught:
        stood().export()
    assert "cloudmodel refresh --stack dev" in str(caught.value.hint)


@pytest.mark.parametrize("document", [[], None, "x", {}])
def test_what_is_no_document_is_not_imported(stood: Open, document: Any) -> None:
    before = files(stood().folder)
    with pytest.raises(StateCorrupt):
        stood().import_(document)
    assert files(stood().folder) == before


def test_pending_operations_are_imported_with_the_rest(stood: Open) -> None:
    with stood().open("up") as recorder:
        recorder.begin(states.creating(states.bucket("z")))
    state = stood().load()
    stood().import_(json.loads((stood().folder / "checkpoint.json").read_bytes()))
    assert stood().load() == state


def test_the_order_of_a_document_is_put_right(stood: Open) -> None:
    document = stood().export()
    document["deployment"]["resources"].reverse()
    before = stood().load()
    stood().import_(document)
    assert stood().load() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda resources: resources.append(dict(resources[2])), "stands twice"),
        (lambda resources: resources[2].update(parent=states.urn("gone")), "is missing"),
        (lambda resources: resources[2].update(urn=resources[2]["urn"].replace(":dev:", ":prod:")), "not a URN"),
        (lambda resources: resources[2].update(provider=f"{states.PROVIDER}::x"), "not a provider"),
    ],
)
def test_an_unsound_document_is_not_imported(stood: Open, change: Callable[[list[Any]], None], said: str) -> None:
    document = stood().export()
    change(document["deployment"]["resources"])
    before = files(stood().folder)
    with pytest.raises(StateCorrupt, match=said) as caught:
        stood().import_(document)
    assert caught.value.where == "the document to import"
    assert files(stood().folder) == before


def test_a_stack_with_resources_is_not_removed_by_accident(stood: Open) -> None:
    with pytest.raises(UsageError, match="still has 3 resources") as caught:
        stood().remove()
    assert "cloudmodel destroy --stack dev" in str(caught.value.hint)
    assert stood().holder() is None
    with stood().open("destroy") as recorder:
        recorder.write(Mutation(drop=tuple(entry.key for entry in recorder.state.resources)))
    stood().remove()
    assert not stood().folder.exists()
    assert list(stood().folder.parent.iterdir()) == []


def test_a_damaged_stack_can_be_removed_by_force(stood: Open) -> None:
    (stood().folder / "checkpoint.json").write_bytes(b"")
    with pytest.raises(StateCorrupt):
        stood().remove()
    stood().remove(force=True)
    assert not stood().exists()


def test_readers_beside_a_writer_see_whole_states(stood: Open) -> None:
    writer = stood()
    done = threading.Event()
    failures: list[BaseException] = []
    seen: list[int] = []

    def look() -> None:
        reader = stood()
        try:
            while not done.is_set():
                state = reader.load()
                seen.append(len(state.resources))
                assert reader.verify() == ()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for index in range(40):
        with writer.open("up") as recorder:
            entry = states.bucket(f"n{index}")
            recorder.end(recorder.begin(states.creating(entry)), states.put(entry))
    done.set()
    thread.join(timeout=60)
    assert failures == []
    assert seen == sorted(seen)
    assert len(stood().load().resources) == 43
