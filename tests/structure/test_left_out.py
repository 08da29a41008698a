"""Tests that a missing program leaves out are told of, and where every test is asked for they fail the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("every", ["", "1"])
def test_a_missing_program_is_counted_and_refused_where_every_test_is_asked_for(tmp_path: Path, every: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            TESTS / "official/test_leaving.py",
        ],
        env=os.environ | {"PATH": str(tmp_path), "CLOUDMODEL_EVERY_TEST": every},
        check=False,
        capture_output=True,
        text=True,
    )
    if every:
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        for program in ("pulumi", "actionlint", "Java", "terraform"):
            assert f"no {program} here" in done.stderr
    else:
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
        assert "1 tests marked official_engine are left out: no pulumi here" in done.stdout


def test_a_worker_that_crashed_takes_no_count_away(pytestconfig: pytest.Config) -> None:
    conftest: Any = pytestconfig.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    config, lines = SimpleNamespace(stash=pytest.Stash()), list[str]()
    conftest.pytest_testnodedown(SimpleNamespace(config=config, workeroutput={"left_out": {"terraform": 7}}))
    conftest.pytest_testnodedown(SimpleNamespace(config=config))
    conftest.pytest_terminal_summary(SimpleNamespace(write_line=lines.append), config)
    assert [line.split(":")[0] for line in lines] == ["7 tests marked terraform are left out"]
