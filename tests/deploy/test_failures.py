"""What Pulumi's command line was seen to say, and what a user is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, StateCorrupt, UsageError
from cloudmodel.deploy.official import failures, workspace
from cloudmodel.settings.load import load_project, load_stack

ROWS: list[tuple[str, type[CloudmodelError], str]] = [
    ("error: failed to load checkpoint: place 1: unexpected end of JSON input", StateCorrupt, "state rebuild"),
    (
        "error: could not deserialize deployment: resource 'x' missing required 'type' field",
        StateCorrupt,
        "prod.json.bak",
    ),
    ("error: failed to load checkpoint: unsupported checkpoint version 99", StateCorrupt, "version of Pulumi"),
    ("error: failed to load checkpoint: EOF", StateCorrupt, "prod.json.attrs"),
    (
        "error: getting history: reading history file x.history.json: unexpected end of JSON input",
        StateCorrupt,
        "entry",
    ),
    (
        'error: unable to open state directory "file:///nowhere": stat /nowhere: no such file or directory',
        UsageError,
        "PULUMI_BACKEND_URL",
    ),
    ("error: operation error S3: GetObject, StatusCode: 403, api error ExpiredToken: x", CredentialsMissing, "sign in"),
]


@pytest.mark.parametrize(("said", "error", "hint"), ROWS)
def test_its_words_become_an_error_with_the_next_step(said: str, error: type[CloudmodelError], hint: str) -> None:
    told = failures.known(f"code: 255\nstdout: \nstderr: {said}\n", "prod")
    assert type(told) is error
    assert hint in str(told.hint) and told.message and told.where == "stack prod"


def test_what_is_not_known_is_told_in_its_words() -> None:
    assert failures.known("error: something else", "prod") is None
    assert "something else" in failures.unknown("error: something else", (), "prod").message


def test_an_address_that_pulumi_would_take_for_its_services_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    project = load_project(Path(__file__).parents[2] / "stacks")
    monkeypatch.setenv(workspace.BACKEND, "foo://state")
    with pytest.raises(UsageError, match="foo://state") as told:
        workspace.backend(project, load_stack(project, "local"))
    assert told.value.where == workspace.BACKEND and "s3://" in str(told.value.hint)
