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


AWS_STACK = """config:
  aws:region: eu-west-1
  aws:allowedAccountIds: ["111122223333"]
  cloudmodel:target: aws
  cloudmodel:bundle: sha256:0000000000000000000000000000000000000000000000000000000000000000
"""


def test_doctor_tells_of_each_stack_what_a_run_on_it_would_meet(
    cli: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "Pulumi.prod.yaml").write_text(AWS_STACK)
    found = checks(cli)
    assert found["stack prod"]["found"] == "target aws, region eu-west-1, only in account 111122223333"
    assert (found["state of prod"]["state"], found["secrets of prod"]["state"]) == ("optional", "optional")
    assert "Pulumi's service: passed through, untested" in found["state of prod"]["found"]
    assert found["state of prod"]["mend"].startswith("cloudmodel bootstrap -s prod")
    assert (found["bundle of prod"]["state"], found["bundle of prod"]["mend"].partition(",")[0]) == (
        "optional", "cloudmodel package",
    )  # fmt: skip

    # What bootstrap says to write is what it then finds.
    (project / "Pulumi.prod.yaml").write_text(f"secretsprovider: awskms://alias/state?region=eu-west-1\n{AWS_STACK}")
    with (project / "Pulumi.yaml").open("a") as file:
        file.write("backend: {url: 's3://acme-state?region=eu-west-1'}\n")
    found = checks(cli)
    assert found["state of prod"]["state"] == found["secrets of prod"]["state"] == "ok"
    assert found["state of prod"]["found"] == "s3://acme-state?region=eu-west-1"
    monkeypatch.setenv("PULUMI_BACKEND_URL", "gs://elsewhere")
    assert "passed through, untested" in checks(cli)["state of prod"]["found"]

    (project / "Pulumi.prod.yaml").write_text(AWS_STACK.replace("region: eu", "region: mars"))
    ran = cli("doctor")
    assert ran.code == 1
    assert "MISSING  stack prod" in ran.out and "aws:region: is not a region" in ran.out


def test_doctor_finds_a_pulumi_that_is_too_old(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/pulumi").write_text("#!/bin/sh\necho v2.0.0\n")
    (tmp_path / "old/pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'old'}:/usr/bin:/bin")
    found = checks(cli)["pulumi CLI"]
    assert (found["state"], found["mend"]) == ("optional", "cloudmodel engine install")
    assert "Pulumi's command line cannot be used" in found["found"]


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
