"""doctor, engine and local: what this machine has, and the local AWS of a project."""

from __future__ import annotations

import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloudmodel.cli.commands import doctor


def checks(cli: Any) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in cli("doctor", "-j").json["checks"]}


def test_doctor_finds_what_the_core_needs(cli: Any, project: Path) -> None:
    found = checks(cli)
    assert {found[name]["state"] for name in ("Python", "onnxruntime", "pulumi", "processors", "disk", "project")} == {
        "ok"
    }
    assert found["local AWS"]["mend"] == "cloudmodel local start"
    assert found["AWS credentials"]["state"] == "optional"


def test_doctor_works_outside_a_project(cli: Any) -> None:
    assert checks(cli)["project"]["mend"].startswith("cloudmodel init")


def test_doctor_sees_credentials_and_passphrases_and_shows_neither(
    cli: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter2")
    ran = cli("doctor")
    assert "in the environment (not tried)" in ran.out
    assert "from PULUMI_CONFIG_PASSPHRASE" in ran.out
    assert "AKIACANARY" not in ran.out
    assert "hunter2" not in ran.out


def test_doctor_names_what_is_missing_and_what_mends_it(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("click", "no-such-package"))
    ran = cli("doctor")
    assert ran.code == 1
    assert "MISSING  no-such-package" in ran.out
    assert "pip install no-such-package" in ran.err
    assert cli("doctor", "-j").json["details"]["missing"] == ["no-such-package"]


def test_engine_status_finds_the_official_cli(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere"
    monkeypatch.setenv("PATH", str(nowhere))
    assert cli("engine", "status", "-j").json["engines"]["official"]["available"] is False
    assert "cloudmodel engine install" in cli("engine", "status").out
    nowhere.mkdir()
    (nowhere / "pulumi").write_text("#!/bin/sh\necho v3.999.0\n")
    (nowhere / "pulumi").chmod(0o755)
    found = cli("engine", "status", "-j").json["engines"]
    assert found["official"] == {"available": True, "path": str(nowhere / "pulumi"), "version": "3.999.0"}
    assert found["embedded"]["available"] is True


@pytest.mark.parametrize(
    "failure",
    [urllib.error.URLError("no route"), subprocess.CalledProcessError(1, "install.sh", b"curl: (6) no such host")],
)
def test_engine_install_without_a_network_says_how_to_do_it_by_hand(
    cli: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    from pulumi.automation import PulumiCommand

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(PulumiCommand, "install", fail)
    ran = cli("engine", "install")
    assert ran.code == 2
    assert "next:  install it by hand: curl -fsSL https://get.pulumi.com | sh -s -- --version 3." in ran.err
    said = str(failure.output.decode() if isinstance(failure, subprocess.CalledProcessError) else failure)
    assert f"did not get through: {said}\n" in ran.err


def test_the_local_aws_starts_answers_forgets_and_stops(cli: Any, project: Path) -> None:
    assert cli("local", "status", "-j").json | {"schema": ""} == {
        "schema": "", "running": False, "endpoint_url": None, "pid": None, "region": None, "endpoints": [],
    }  # fmt: skip
    assert cli("local", "reset").code == 1
    try:
        started = cli("local", "start", "-j").json
        assert started["schema"] == "cloudmodel.local-start/1"
        status = cli("local", "status", "-j").json
        assert status["running"]
        assert (status["pid"], status["region"]) == (started["pid"], "us-east-1")
        topics = boto3.client(
            "sns", endpoint_url=status["endpoint_url"], region_name=status["region"],
            aws_access_key_id="any", aws_secret_access_key="any",
        )  # fmt: skip
        topics.create_topic(Name="news")
        assert cli("local", "start", "-j").json["pid"] == started["pid"]
        assert len(topics.list_topics()["Topics"]) == 1
        assert cli("local", "reset").code == 0
        assert topics.list_topics()["Topics"] == []
        assert checks(cli)["local AWS"]["state"] == "ok"
        # Whatever becomes of the project's files, what runs can be ended.
        (project / "cloudmodel.yaml").write_text("broken: [")
        assert cli("local", "status", "-j").json["running"]
    finally:
        stopped = cli("local", "stop", "-j").json["stopped"]
    assert stopped is True
    assert cli("local", "stop").out == "the local AWS was not running\n"


def test_invoke_says_what_is_missing(cli: Any, project: Path, fleet: Any) -> None:
    (project / "x.json").write_text("{}")
    ran = cli("invoke", "--input", "x.json", "-j")
    assert ran.code == 1
    assert ran.json["error"] == "LocalCloudUnavailable"
    assert ran.json["hint"] == "cloudmodel up --stack local"
    (project / "x.heic").write_text("")
    assert cli("invoke", "--input", "x.heic").code == 2
    assert cli("invoke", "--input", "nowhere.json").code == 2
    assert cli("invoke").code == 2
