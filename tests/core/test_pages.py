"""Mapped weights are given back, and onnxruntime makes no copies of them."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import onnxruntime
import pytest

from cloudmodel.core import pages

SIZE = 32 << 20


def held(what: str) -> int:
    """Bytes of memory of this process: `RssAnon` of its own, `RssFile` of files."""
    found = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def test_pages_of_a_mapping_are_given_back_unless_it_was_written_to(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1" * SIZE)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=3) as mapping:
        before = held("RssFile")
        assert mapping.find(b"2") == -1
        assert held("RssFile") > before + SIZE // 2
        pages.give_back(tmp_path)
        assert held("RssFile") < before + SIZE // 2
        mapping[5] = ord("7")
        pages.give_back(tmp_path)
        assert mapping[4:7] == b"171"


def test_sessions_make_no_copies_of_weights_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "SessionOptions", onnxruntime.SessionOptions)
    pages.unpacked(onnxruntime)
    options = onnxruntime.SessionOptions()
    assert options.get_session_config_entry("session.disable_prepacking") == "1"
