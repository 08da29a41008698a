"""The deployment verbs: what is asked, what is printed, what the engine is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_preview_prints_the_plan_and_touches_nothing(cli: Any, project: Path, fleet: Any) -> None:
    ran = cli("preview")
    assert ran.code == 0
    assert ran.out == (
        "Previewing update (stack local): target local, account 000000000000, region us-east-1, engine embedded\n"
        " +  pulumi:pulumi:Stack digits-local create\n"
        " +  aws:s3:Bucket models create\n"
        " ~  aws:sns:Topic alarms update [diff: ~displayName]\n"
        "\n"
        'Outputs:\n    endpoint_name: "digits"\n'
        "\n"
        "Resources:\n    + 2 to create\n    ~ 1 to update\n    3 changes\n"
    )
    assert [verb for verb, _ in fleet.calls] == ["preview"]


def test_what_the_engine_says_goes_to_stderr(cli: Any, project: Path, fleet: Any) -> None:
    ran = cli("preview")
    assert ran.err == "warning: models: mind the gap\nwarning: an instance costs money\n"
    assert "only with --debug" in cli("preview", "--debug").err


def test_preview_with_diff_shows_a_tree(cli: Any, project: Path, fleet: Any) -> None:
    assert '  ~ displayName: "a" => "b"' in cli("preview", "--diff").out


@pytest.mark.parametrize("verb", ["preview", "up", "refresh", "destroy"])
def test_json_is_one_document_with_the_contracts_fields(cli: Any, project: Path, fleet: Any, verb: str) -> None:
    document = cli(verb, "-j", *([] if verb == "preview" else ["-y"])).json
    assert document["schema"] == f"cloudmodel.{verb}/1"
    assert document["summary"] == {"create": 2, "update": 1, "replace": 0, "delete": 0, "same": 0}
    assert document["region"] == "us-east-1"
    assert document["account"] == "000000000000"
    assert ("duration_s" in document) == (verb != "preview")
    assert [step["op"] for step in document["steps"]] == ["create", "create", "update"]


def test_the_same_plan_gives_the_same_bytes(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("preview", "--json").out == cli("preview", "--json").out


def test_flags_reach_the_engine(cli: Any, project: Path, fleet: Any) -> None:
    flags = ["-r", "--replace", "urn:a", "--replace", "urn:b", "-p", "3", "-m", "because", "--show-secrets"]
    assert cli("up", "-y", "--engine", "official", *flags).code == 0
    for _, options in fleet.calls:
        assert options.refresh
        assert options.replace == ("urn:a", "urn:b")
        assert options.parallel == 3
        assert options.message == "because"
        assert options.show_secrets
    assert fleet.asked == [("official", False)]
    assert cli("preview", "--offline").code == 0
    assert fleet.asked[1:] == [(None, True)]


def test_up_shows_the_plan_then_what_was_done(cli: Any, project: Path, fleet: Any) -> None:
    ran = cli("up", "--yes")
    assert ran.code == 0
    assert [verb for verb, _ in fleet.calls] == ["preview", "up"]
    assert ran.out.startswith("Previewing update (stack local)")
    assert ran.out.endswith("Resources:\n    + 2 created\n    ~ 1 updated\n    3 changes\n\nDuration: 2s\n")
    assert " +  aws:s3:Bucket models creating (0s)\n +  aws:s3:Bucket models created (0.44s)\n" in ran.err


@pytest.mark.parametrize("words", [("up",), ("refresh",), ("destroy",), ("cancel",), ("stack", "rm", "dev"),
                                   ("state", "import", "--file", "x.json")])  # fmt: skip
def test_a_change_without_a_terminal_needs_yes(cli: Any, project: Path, fleet: Any, words: tuple[str, ...]) -> None:
    ran = cli(*words)
    assert ran.code == 2
    assert "next:  add --yes" in ran.err
    assert fleet.calls == []
    assert (project / "Pulumi.dev.yaml").exists()


def test_an_unchanged_stack_meets_expect_no_changes(cli: Any, project: Path, fleet: Any) -> None:
    fleet.scenario = "same"
    ran = cli("up", "--yes", "--expect-no-changes")
    assert ran.code == 0
    assert "    3 unchanged" in ran.out
    assert fleet.calls[1][1].expect_no_changes


@pytest.mark.parametrize("words", [("preview",), ("up", "-y"), ("refresh", "-y")])
def test_changes_where_none_were_expected_end_with_7(
    cli: Any, project: Path, fleet: Any, words: tuple[str, ...]
) -> None:
    ran = cli(*words, "--expect-no-changes")
    assert ran.code == 7
    assert " +  aws:s3:Bucket models create" in ran.out
    assert "the plan has 2 to create, 1 to update" in ran.err
    assert "up" not in [verb for verb, _ in fleet.calls]
    document = cli(*words, "--expect-no-changes", "-j").json
    assert document["schema"] == "cloudmodel.error/1"
    assert document["details"]["plan"]["summary"]["create"] == 2


def test_a_failed_operation_is_told_as_it_happens_and_ends_with_4(cli: Any, project: Path, fleet: Any) -> None:
    fleet.scenario = "fails"
    ran = cli("up", "--yes")
    assert ran.code == 4
    assert " +  aws:s3:Bucket models **creating failed** BucketAlreadyExists" in ran.err
    assert ran.err.count("error: models: BucketAlreadyExists") == 1


def test_destroy_shows_what_it_will_delete_last_made_first(cli: Any, project: Path, fleet: Any) -> None:
    ran = cli("destroy", "-y")
    assert ran.out.split("\n")[1:3] == [
        " -  aws:s3:Bucket models delete",
        " -  pulumi:pulumi:Stack digits-local delete",
    ]
    assert [verb for verb, _ in fleet.calls] == ["preview_destroy", "destroy"]


def test_outputs(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("outputs").out == (
        'OUTPUT         VALUE\ncount          2\nendpoint_name  "digits"\ntoken          [secret]\n'
    )
    assert cli("outputs", "endpoint_name").out == "digits\n"
    assert cli("outputs", "count").out == "2\n"
    assert cli("outputs", "-j").json == {
        "schema": "cloudmodel.outputs/1",
        "stack": "local",
        "outputs": {"count": 2, "endpoint_name": "digits", "token": "[secret]"},
    }
    assert cli("outputs", "-j", "--show-secrets").json["outputs"]["token"] == "hunter2"
    assert cli("outputs", "nothing").code == 2


def test_history_is_newest_first_and_prints_nothing_raw(cli: Any, project: Path, fleet: Any) -> None:
    lines = cli("history").out.split("\n")
    assert [line.split()[0] for line in lines[:3]] == ["VERSION", "2", "1"]
    assert "\x1b" not in "".join(lines)
    assert lines[0].split()[-4:] == ["BUNDLE", "BY", "COMMIT", "PIPELINE"], "of no update a revision is known"
    assert lines[1].split()[-4:] == ["a" * 12, "anna", "1f" * 6, "https://ci.example/9"]
    assert [update["version"] for update in cli("history", "-j").json["updates"]] == [2, 1]
    assert [update["version"] for update in cli("history", "-j", "--limit", "1").json["updates"]] == [2]


def test_cancel_says_whose_run_it_ended(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("cancel", "-y").out == "no run holds stack local\n"
    fleet.scenario = "locked"
    assert cli("cancel", "-y", "-j").json["cancelled"] == "run 7 of ci-41"


def test_an_exported_state_is_imported_again(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("state", "export", "--file", "state.json").code == 0
    assert (project / "state.json").stat().st_mode & 0o777 == 0o600
    assert cli("state", "import", "-y", "--file", "state.json").code == 0
    assert fleet.calls[-1] == ("import", json.loads(cli("state", "export").out))
    assert cli("state", "export", "-j").json["state"]["version"] == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_state_is_refused(cli: Any, project: Path, fleet: Any, content: bytes) -> None:
    (project / "bad.json").write_bytes(content)
    ran = cli("state", "import", "-y", "--file", "bad.json")
    assert ran.code == 2
    assert "where: bad.json" in ran.err
    assert fleet.calls == []


def test_a_state_that_contradicts_itself_is_told(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("state", "verify").code == 0
    fleet.scenario = "corrupt"
    ran = cli("state", "verify", "-j")
    assert ran.code == 1
    assert ran.json["details"]["problems"] == ["models stands before its parent"]


def test_verify_tells_who_holds_the_state_and_what_was_begun(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("state", "verify").out.endswith("lock: none\npending: none\n")
    fleet.scenario = "held"
    told = cli("state", "verify", "-j").json
    assert told["lock"]["owner"] == "anna" and told["pending"] == [
        "creating urn:pulumi:local::digits::aws:s3/bucket:Bucket::models"
    ]
    assert "lock: up by anna on build-7 (pid 4711)" in cli("state", "verify").out


def test_unlock_names_the_lock(cli: Any, project: Path, fleet: Any) -> None:
    assert cli("state", "unlock", "--id", "41").code == 0
    assert fleet.calls == [("unlock", "41")]
    assert cli("state", "unlock").code == 2


def test_a_rollback_breaks_the_lock_that_it_saw_and_no_other(cli: Any, project: Path, fleet: Any) -> None:
    fleet.scenario = "taken over"  # by a run that lives, since the lock of a run that is over was seen
    assert cli("rollback", "--yes").code == 16
    assert fleet.calls == [("unlock", "41")]
