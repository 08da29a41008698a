"""A run that ends in the middle is finished by the next one: no manual step, nothing twice (I1, I6, I8)."""

from __future__ import annotations

import os
import signal

import pytest

from cloud import NOTHING, ONE_OF_EACH, Cloud
from shell import Shell, lines_until


def cloud(shell: Shell) -> Cloud:
    status = shell.json("local", "status")
    return Cloud(status["endpoint_url"], status["region"])


@pytest.mark.parametrize("created", [1, 22])
def test_a_killed_up_is_finished_by_the_next_up_without_duplicates(digits: Shell, created: int) -> None:
    process = digits.start("up", "--stack", "local", "--yes")
    lines_until(process, " created (", created)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    digits.json("up", "--stack", "local", "--yes")
    assert cloud(digits).inventory() == ONE_OF_EACH
    digits.json("up", "--stack", "local", "--yes", "--expect-no-changes")
    digits.json("state", "verify", "--stack", "local")
    results = [entry["result"] for entry in digits.json("history", "--stack", "local")["updates"]]
    assert sorted(results) == ["interrupted", "succeeded", "succeeded"]


def test_a_killed_up_can_be_destroyed_at_once(digits: Shell) -> None:
    process = digits.start("up", "--stack", "local", "--yes")
    lines_until(process, "endpoint creating (")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    digits.json("destroy", "--stack", "local", "--yes")
    assert cloud(digits).inventory() == NOTHING


@pytest.mark.parametrize("deleted", [20])
def test_a_killed_destroy_is_finished_by_the_next_destroy(digits: Shell, deleted: int) -> None:
    digits.json("up", "--stack", "local", "--yes")
    process = digits.start("destroy", "--stack", "local", "--yes")
    lines_until(process, " deleted (", deleted)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    digits.json("destroy", "--stack", "local", "--yes")
    assert cloud(digits).inventory() == NOTHING


def test_ctrl_c_lets_what_runs_finish_and_the_next_up_does_the_rest(digits: Shell) -> None:
    process = digits.start("up", "--stack", "local", "--yes")
    lines_until(process, " created (", 3)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 8, rest.decode()
    assert b"finishing what runs" in rest
    assert digits.json("state", "export", "--stack", "local")["state"]["deployment"].get("pending_operations", []) == []

    digits.json("up", "--stack", "local", "--yes")
    assert cloud(digits).inventory() == ONE_OF_EACH


def test_ctrl_c_twice_leaves_at_once_and_the_next_up_does_the_rest(digits: Shell) -> None:
    process = digits.start("up", "--stack", "local", "--yes")
    lines_until(process, "endpoint creating (")
    process.send_signal(signal.SIGINT)
    lines_until(process, "finishing what runs")
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 8, rest.decode()

    digits.json("up", "--stack", "local", "--yes")
    assert cloud(digits).inventory() == ONE_OF_EACH


def test_of_two_ups_at_once_the_loser_learns_who_holds_the_stack(digits: Shell) -> None:
    winner = digits.start("up", "--stack", "local", "--yes")
    lines_until(winner, " creating (")
    winner.send_signal(signal.SIGSTOP)
    try:
        loser = digits.json("up", "--stack", "local", "--yes", code=16)
    finally:
        winner.send_signal(signal.SIGCONT)
    assert loser["error"] == "StackLocked"
    assert str(winner.pid) in loser["message"]
    assert "cloudmodel state unlock" in loser["hint"]
    _, rest = winner.communicate(timeout=120)
    assert winner.returncode == 0, rest.decode()
    assert cloud(digits).inventory() == ONE_OF_EACH


def test_a_local_aws_that_died_is_started_anew_and_everything_is_made_again(digits: Shell) -> None:
    digits.json("up", "--stack", "local", "--yes")
    os.kill(digits.json("local", "status")["pid"], signal.SIGKILL)

    lost = digits.json("invoke", "--stack", "local", "--input", "data/heldout.npz", code=1)
    assert lost["error"] == "LocalCloudUnavailable"
    assert "cloudmodel" in lost["hint"]

    again = digits.json("up", "--stack", "local", "--yes")
    assert any("started anew" in warning for warning in again["warnings"])
    assert cloud(digits).inventory() == ONE_OF_EACH
    digits.json("up", "--stack", "local", "--yes", "--expect-no-changes")
