"""A secret of the settings reaches the program, and nothing else in clear (I12)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from cloudmodel.engine.secrets import Passphrase, Secrets
from shell import Shell

CANARY = "canary-7f3a9c51-sesame"


def seal(settings: Path, passphrase: str) -> None:
    """Add what `pulumi config set --secret` would add: one secret, and one inside an object."""
    secrets = Secrets(lambda _: Passphrase(passphrase, "the test"))
    document = yaml.safe_load(settings.read_text())
    document["config"]["digits:token"] = {"secure": secrets.encrypt(CANARY)}
    document["config"]["digits:service"] = {"url": "here", "key": {"secure": secrets.encrypt(CANARY + "-inside")}}
    document["encryptionsalt"] = secrets.salt
    settings.write_text(yaml.safe_dump(document))


def test_a_secret_reaches_the_program_and_stands_nowhere_in_clear(digits: Shell) -> None:
    user = replace(digits, environment=digits.environment | {"PULUMI_CONFIG_PASSPHRASE": "correct horse"})
    seal(user.folder / "Pulumi.local.yaml", "correct horse")
    program = user.folder / "__main__.py"
    program.write_text(
        program.read_text()
        + "\nimport pulumi\nimport pulumi_aws\n\nconfig = pulumi.Config()\n"
        + "pulumi_aws.sns.Topic('told', display_name=config.require_secret('token'))\n"
        + "pulumi.export('token', config.require_secret('token'))\n"
        + "pulumi.export('service', config.require_secret_object('service'))\n"
        + "print(config.require('token'))\n"
    )
    done = user.run("up", "--stack", "local", "--yes", "--diff")
    assert done.returncode == 0, done.stderr.decode()
    shown = user.json("outputs", "--stack", "local", "--show-secrets")["outputs"]
    assert shown["token"] == CANARY
    assert shown["service"] == {"url": "here", "key": CANARY + "-inside"}
    hidden = user.run("outputs", "--stack", "local", "--json")
    exported = user.run("state", "export", "--stack", "local")

    assert b"[secret]" in done.stderr, "what the program prints is shown, masked"
    printed = done.stdout + done.stderr + hidden.stdout + exported.stdout
    assert b"[secret]" in hidden.stdout
    assert CANARY.encode() not in printed
    for path in (user.folder / ".cloudmodel").rglob("*"):
        if path.is_file() and "local" not in path.relative_to(user.folder / ".cloudmodel").parts[:1]:
            assert CANARY.encode() not in path.read_bytes(), path

    wrong = replace(user, environment=user.environment | {"PULUMI_CONFIG_PASSPHRASE": "wrong"})
    refused = wrong.json("preview", "--stack", "local", code=3)
    assert "PULUMI_CONFIG_PASSPHRASE" in refused["hint"]


def test_a_sealed_setting_without_a_salt_is_said_so(digits: Shell) -> None:
    settings = digits.folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + "  digits:token: {secure: 'v1:AAAA:BBBB'}\n")
    refused = digits.json("preview", "--stack", "local", code=2)
    assert "encryptionsalt" in refused["message"]
    assert "digits:token" in refused["message"]
