"""Which project and which stack a verb works on, and how stacks come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HOSTILE = ["../../etc", "a/b", "..", ".", "", "a b", "a\nb", "é", "x" * 101, "$(id)"]


def chosen(fleet: Any) -> str:
    stack: str = fleet.opened[-1].stack
    return stack


def test_flag_before_variable_before_selected(
    cli: Any, project: Path, fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "Pulumi.prod.yaml").write_text((project / "Pulumi.local.yaml").read_text())
    assert cli("preview").code == 0
    assert chosen(fleet) == "local"
    monkeypatch.setenv("CLOUDMODEL_STACK", "dev")
    assert cli("preview").code == 0
    assert chosen(fleet) == "dev"
    assert cli("preview", "-s", "prod").code == 0
    assert chosen(fleet) == "prod"


def test_a_stack_has_its_whole_name_as_pulumi_spells_it(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("preview", "-s", "digits/dev").code == 0
    assert chosen(fleet) == "dev"
    assert cli("preview", "-s", "cart/dev").code == 6


def test_without_a_project_what_runs_no_program_looks_in_aws(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for verb in (("history",), ("rollback", "--yes"), ("state", "unlock", "--id", "0")):
        ran = cli(*verb, "-s", "prod")
        assert ran.code == 3 and "PULUMI_BACKEND_URL" in ran.err
        assert ran.err.startswith("no cloudmodel.yaml in ") and "looked for in AWS" in ran.err
        assert cli(*verb).code == 2
    assert cli("up", "-s", "prod", "--yes").code == 2


def test_every_flag_is_a_variable(cli: Any, project: Path, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMODEL_YES", "true")
    monkeypatch.setenv("CLOUDMODEL_JSON", "1")
    monkeypatch.setenv("CLOUDMODEL_PARALLEL", "5")
    monkeypatch.setenv("CLOUDMODEL_VERSION", "not a flag of a verb")
    assert cli("up").json["stack"] == "local"
    assert fleet.calls[-1][1].parallel == 5


def test_no_stack_selected_is_said_with_the_next_command(cli: Any, project: Path, fleet: Any) -> None:
    (project / ".cloudmodel/selected").unlink()
    ran = cli("preview")
    assert ran.code == 2
    assert "next:  cloudmodel stack select dev" in ran.err


@pytest.mark.parametrize("verb", ["preview", "outputs", "history"])
def test_an_unknown_stack_ends_with_6(cli: Any, project: Path, fleet: Any, verb: str) -> None:
    ran = cli(verb, "-s", "nope", "-j")
    assert ran.code == 6
    assert ran.json["error"] == "StackNotFound"
    assert "dev, local" in ran.json["message"]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_a_hostile_stack_name_is_no_stack(cli: Any, project: Path, fleet: Any, name: str) -> None:
    ran = cli("preview", "--stack", name)
    assert ran.code == 6
    assert fleet.opened == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_stack_name_is_not_made(cli: Any, project: Path, name: str) -> None:
    before = sorted(project.parent.rglob("*"))
    assert cli("stack", "init", "--target", "local", "--", name).code == 2
    assert sorted(project.parent.rglob("*")) == before


def test_the_project_is_found_from_a_folder_inside_it(
    cli: Any, project: Path, fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "data")
    assert cli("preview").code == 0


def test_the_project_is_found_in_stacks(
    cli: Any, project: Path, fleet: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.rename(tmp_path / "stacks")
    monkeypatch.chdir(tmp_path)
    assert cli("preview").code == 0


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_project_is_named_before_or_after_the_verb(
    cli: Any, project: Path, fleet: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ("-C", "digits")
    assert cli(*((*named, "preview") if place == "before" else ("preview", *named))).code == 0


def test_no_project_is_said_with_the_next_command(cli: Any) -> None:
    ran = cli("preview")
    assert ran.code == 2
    assert "next:  cloudmodel init" in ran.err


def test_a_stack_is_made_listed_selected_and_removed(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("stack", "init", "prod", "--target", "aws", "--region", "eu-west-1").code == 0
    assert (project / ".cloudmodel/selected").read_text() == "prod\n"
    assert cli("stack", "select", "dev").code == 0
    entries = {entry["name"]: entry for entry in cli("stack", "ls", "-j").json["stacks"]}
    assert set(entries) == {"dev", "local", "prod"}
    assert [name for name, entry in entries.items() if entry["selected"]] == ["dev"]
    assert entries["dev"]["target"] == "local"
    # A stack on aws needs accounts and a bundle before it can be used; the list says so and goes on.
    assert entries["prod"]["problem"]
    assert "dev*" in cli("stack", "ls").out
    assert cli("stack", "rm", "dev", "-y").code == 0
    assert fleet.calls == [("remove", False)]
    assert not (project / "Pulumi.dev.yaml").exists()
    assert not (project / ".cloudmodel/selected").exists()


def test_a_stack_that_exists_is_not_overwritten(cli: Any, project: Path) -> None:
    before = (project / "Pulumi.local.yaml").read_bytes()
    assert cli("stack", "init", "local", "--target", "aws").code == 2
    assert (project / "Pulumi.local.yaml").read_bytes() == before


@pytest.mark.parametrize("region", ["", "us east", "x\n  cloudmodel:target: aws"])
def test_a_region_cannot_smuggle_settings_in(cli: Any, project: Path, region: str) -> None:
    assert cli("stack", "init", "prod", "--target", "local", "--region", region).code == 2
    assert not (project / "Pulumi.prod.yaml").exists()


def test_a_target_is_never_guessed(cli: Any, project: Path) -> None:
    assert cli("stack", "init", "prod").code == 2


def test_selecting_an_unknown_stack_ends_with_6(cli: Any, project: Path) -> None:
    assert cli("stack", "select", "nope").code == 6
    assert (project / ".cloudmodel/selected").read_text() == "local\n"
