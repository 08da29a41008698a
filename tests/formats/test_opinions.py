"""picklescan and fickling make a verdict worse, never better; where they break, the file is not clean."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from cloudmodel.formats.scan import scan
from cloudmodel.formats.scanning import opinions, pickles
from hostile import OPCODES, by_global, stack_global, system, tarred, zipped


def test_both_are_here() -> None:
    assert opinions.installed() == ("picklescan", "fickling")


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan of ours that lets every import pass."""
    monkeypatch.setattr(pickles, "judge", lambda found: None)


def rules(tmp_path: Path, content: bytes) -> tuple[str, set[str], str]:
    path = tmp_path / "model"
    path.write_bytes(content)
    result = scan(path)
    return result.verdict, {each.rule for each in result.findings}, " ".join(each.detail for each in result.findings)


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize(
    "content",
    [system(), by_global("os", "system"), tarred({"a": zipped({"b.pkl": system()})}, "w:gz")],
    ids=["pickle", "letters", "nested"],
)
def test_what_we_do_not_see_they_may(tmp_path: Path, content: bytes) -> None:
    verdict, found, said = rules(tmp_path, content)
    assert (verdict, found) == ("unsafe", {"second-opinion"})
    assert "picklescan says: posix.system is dangerous" in said or "picklescan says: os.system is dangerous" in said


@pytest.mark.usefixtures("blind")
def test_fickling_has_a_say_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opinions, "installed", lambda: ("fickling",))
    verdict, _, said = rules(tmp_path, stack_global("builtins", "eval", "1"))
    assert verdict == "unsafe" and "fickling says: it is overtly malicious" in said


@pytest.mark.usefixtures("blind")
def test_one_that_breaks_is_no_good_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opinions, "installed", lambda: ("fickling",))
    verdict, found, said = rules(tmp_path, OPCODES["newobj with keywords"])
    assert (verdict, found) == ("unknown", {"second-opinion-failed"}) and "TypeError" in said


@pytest.mark.parametrize("how", ["late", "dead"])
def test_one_that_ends_without_an_answer_is_no_good_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "late":
        monkeypatch.setattr(opinions, "SECONDS", 0.001)
    else:
        monkeypatch.setattr(sys, "executable", "/bin/false")
    verdict, found, _ = rules(tmp_path, pickle.dumps([1]))
    assert (verdict, found) == ("unknown", {"second-opinion-failed"})


def test_their_good_word_helps_nobody(tmp_path: Path) -> None:
    verdict, found, _ = rules(tmp_path, stack_global("pandas", "DataFrame"))
    assert (verdict, found) == ("unknown", {"unlisted-import"})


def test_a_long_pickle_is_not_shown_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opinions, "ask", lambda shown: shown and pytest.fail("weights are not for them"))
    assert rules(tmp_path, pickle.dumps(bytes(opinions.MAX_PICKLE + 1)))[0] == "clean"


def test_where_none_is_installed_ours_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opinions, "installed", tuple)
    assert rules(tmp_path, pickle.dumps([1]))[0] == "clean"
    assert rules(tmp_path, system())[0] == "unsafe"
