"""Pulumi's own CLI as the judge of the form."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings

import states
from cloudmodel.core.errors import CredentialsMissing, StateCorrupt
from cloudmodel.engine import checkpoint, integrity, normal, secrets
from cloudmodel.engine.secrets import Passphrase, Secrets
from cloudmodel.engine.state import State

PHRASE = "correct horse"

pytestmark = pytest.mark.official_engine


@pytest.fixture(autouse=True, scope="module")
def all_rounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "ROUNDS", 1_000_000)
        yield


class Cli:
    """The official CLI on one stack with a backend of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "backend").mkdir()
        (folder / "Pulumi.yaml").write_text(f"name: {states.PROJECT}\nruntime: python\n")
        self.run("stack", "init", states.STACK)

    def run(self, *words: str, passphrase: str = PHRASE, code: int = 0) -> str:
        environment = {
            **os.environ,
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": passphrase,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        command = ["pulumi", *words, "--non-interactive"]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def imported(self, document: dict[str, Any], code: int = 0) -> None:
        file = self.folder / "import.json"
        file.write_text(json.dumps(document))
        self.run("stack", "import", "--stack", states.STACK, "--file", str(file), code=code)

    def exported(self, *flags: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("stack", "export", "--stack", states.STACK, *flags))
        return document


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module")
def ours() -> Secrets:
    return states.passphrase(PHRASE)


def read(document: dict[str, Any], ours: Secrets) -> State:
    return checkpoint.read(document, states.PROJECT, states.STACK, ours, "the official export").state


def differences(one: State, other: State) -> list[Any]:
    """Where two states differ: (URN, field, one, other)."""
    assert [entry.urn for entry in one.resources] == [entry.urn for entry in other.resources]
    return [
        (here.urn, field.name, getattr(here, field.name), getattr(there, field.name))
        for here, there in zip(one.resources, other.resources, strict=True)
        for field in fields(here)
        if getattr(here, field.name) != getattr(there, field.name)
    ]


@given(state=states.states())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.generate])
def test_the_official_cli_reads_what_we_write_and_gives_back_the_same(cli: Cli, ours: Secrets, state: State) -> None:
    # Pulumi drops pending operations, and fields of its own (`extra`) have types that are not generated here.
    plain = [replace(entry, extra={}) for entry in state.resources]
    state = State(state.project, state.stack, normal.ordered(plain))
    cli.imported(checkpoint.export(state, ours))
    assert differences(read(cli.exported(), ours), state) == []
    assert differences(read(cli.exported("--show-secrets"), ours), state) == []
    file = cli.folder / "backend" / ".pulumi" / "stacks" / states.PROJECT / f"{states.STACK}.json"
    assert differences(read(checkpoint.parse(file.read_bytes(), str(file)), ours), state) == []


def test_the_official_cli_shows_our_secret(cli: Cli, ours: Secrets) -> None:
    cli.imported(checkpoint.export(states.state(states.bucket("a", inputs={"p": states.secret()})), ours))
    assert states.CANARY in cli.run("stack", "export", "--stack", states.STACK, "--show-secrets")
    assert states.CANARY not in cli.run("stack", "export", "--stack", states.STACK)
    cli.run("stack", "export", "--stack", states.STACK, "--show-secrets", passphrase="another", code=1)
    with pytest.raises(CredentialsMissing):
        read(cli.exported(), Secrets(lambda _: Passphrase("another", "the test")))


def test_secret_configuration_that_the_official_cli_sealed_is_opened(cli: Cli) -> None:
    cli.run("config", "set", "--secret", "pw", "hunter2 <&>", "--stack", states.STACK)
    cli.run("config", "set", "--secret", "--path", "db.users[0].pw", "deep", "--stack", states.STACK)
    document = yaml.safe_load((cli.folder / f"Pulumi.{states.STACK}.yaml").read_text())
    assert states.passphrase(PHRASE).config(document["config"], document["encryptionsalt"]) == {
        "digits:pw": "hunter2 <&>",
        "digits:db": {"users": [{"pw": "deep"}]},
    }


def test_what_the_official_cli_refuses_to_import_we_refuse_too(cli: Cli, ours: Secrets) -> None:
    def changed(**update: Any) -> dict[str, Any]:
        document = checkpoint.export(states.state(states.bucket("a", inputs={"p": states.secret()})), ours)
        document["deployment"]["resources"][2].update(update)
        return document

    sealed = changed()
    del sealed["deployment"]["secrets_providers"]
    twice = changed()
    twice["deployment"]["resources"].append(twice["deployment"]["resources"][2])
    unversioned = changed()
    del unversioned["version"]
    elsewhere = changed(urn=states.urn("a").replace(":dev:", ":prod:"))
    for document in (sealed, twice, unversioned, elsewhere, changed(parent=states.urn("gone"))):
        cli.imported(document, code=1)
        with pytest.raises((StateCorrupt, AssertionError)):
            assert integrity.check(read(document, ours)) == ()
