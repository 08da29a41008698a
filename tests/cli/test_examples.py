"""Every example that a help shows is typed, in the order of a session, offline and on the local AWS."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import click
import numpy as np
import pytest

from cloudmodel.cli import main
from cloudmodel.cli.examples import EXAMPLES, NOT_OFFLINE
from cloudmodel.engine.holder import me
from shell import Shell, lines_until
from terminal import Terminal

LOCK = "4c1f0d0c2b6a4a3e9a7a5a0f6d1e2b37"
UNANSWERED = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
"""Whoever asks the internet for something is refused."""
PROD = 'config: {"cloudmodel:target": aws, "aws:region": eu-west-1, "aws:allowedAccountIds": ["123456789012"]}\n'


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    context = click.Context(main.cli)
    for name in main.cli.list_commands(context):
        command = main.cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield name, command


def test_every_verb_shows_its_examples() -> None:
    found = dict(leaves())
    assert EXAMPLES.keys() | NOT_OFFLINE == found.keys()
    for verb, lines in EXAMPLES.items():
        with click.Context(found[verb], info_name=f"cloudmodel {verb}") as context:
            shown = found[verb].get_help(context)
        assert "\n  Examples:\n" in shown, verb
        for line in lines:
            assert f"    {line}\n" in shown
            assert line.startswith(f"cloudmodel {verb.partition(' ')[0]}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    typing = Terminal(tmp_path, {**UNANSWERED, "HOME": str(tmp_path)})
    yield typing
    typing.run("cloudmodel local stop")


def test_every_example_works_offline(terminal: Terminal) -> None:
    before: dict[str, Callable[[Terminal], None]] = {
        "optimize": hurried, "ci init": repository, "invoke": requests, "state unlock": locked,
    }  # fmt: skip
    for verb, lines in EXAMPLES.items():
        if verb in before:
            before[verb](terminal)
        for line in lines:
            if verb == "serve":
                served(terminal, line)
                continue
            code, printed = terminal.run(line)
            assert code == 0, f"$ {line}\n{printed}"
        if verb == "init":
            terminal.folder /= "shop"


def hurried(terminal: Terminal) -> None:
    description = terminal.folder / "cloudmodel.yaml"
    description.write_text(description.read_text().replace("budget: 2m", "budget: 5s"))


def repository(terminal: Terminal) -> None:
    assert terminal.run("git init --quiet")[0] == 0
    (terminal.folder / "Pulumi.prod.yaml").write_text(PROD)


def requests(terminal: Terminal) -> None:
    image = np.zeros((1, 1, 8, 8), np.float32)
    np.save(terminal.folder / "digit.npy", image)
    (terminal.folder / "request.json").write_text(json.dumps({"inputs": {"image": image.tolist()}}))


def locked(terminal: Terminal) -> None:
    owner = replace(me(7, "up"), id=LOCK, host="runner-41")
    (terminal.folder / ".cloudmodel/stacks/local/lock").write_text(json.dumps(asdict(owner)))


def served(terminal: Terminal, line: str) -> None:
    shell = Shell(terminal.folder, terminal.environment())
    server = shell.start(*line.split()[1:])
    lines_until(server, "serving ")
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=60)
    assert server.returncode in (0, 8, -signal.SIGINT)
