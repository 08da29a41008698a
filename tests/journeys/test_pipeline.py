"""From a pull request to production: the workflow that `ci init github` writes, run step by step on a git repository
and the local AWS. GitHub itself is stood in for (`actions`); the target is made `local` after the file was written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actions import GitHub, Runner, load
from cloud import Cloud
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT
from host_api import serving
from repository import Repository, git
from shell import Shell

PULL = {"event_name": "pull_request", "ref": "refs/pull/1/merge"}
PUSH = {"event_name": "push", "ref": "refs/heads/main"}
REPOSITORY = "acme/models"


@pytest.fixture
def runner(repository: Repository, environment: dict[str, str], tmp_path: Path) -> Iterator[Runner]:
    done = Shell(repository.project, environment).run("ci", "init", "github", "--stack", "prod")
    assert done.returncode == 0, done.stderr
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    git(workspace, "init", "-q")
    workflow = load(repository.folder / ".github/workflows/cloudmodel-digits--prod.yml")
    with serving(GitHub(REPOSITORY)) as github:
        yield Runner(workflow, github, repository.folder, workspace, tmp_path / "scratch", environment)
    for folder in (workspace, tmp_path / "fork"):
        if (folder / "models/digits/.cloudmodel/local").is_dir():
            server.stop(folder / "models/digits/.cloudmodel/local")


def pull_request(repository: str = REPOSITORY) -> dict[str, Any]:
    return {**PULL, "event": {"pull_request": {"number": 1, "head": {"repo": {"full_name": repository}}}}}


def test_a_model_goes_from_a_pull_request_to_production(
    repository: Repository, runner: Runner, environment: dict[str, str], store: Cloud, tmp_path: Path
) -> None:
    github = runner.github
    author = Shell(repository.project, environment | {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"})
    first = author.json("package", "--push")["digest"]
    repository.pin(first)
    repository.commit("a project with a pipeline")

    # A pull request with another model: it is packaged and searched, and the comment says what to pin.
    repository.branch("labels")
    repository.name_the_zero()
    repository.commit("name the zero")
    done = runner.run(repository.merge("labels"), pull_request())
    assert done["preview"].ok, done["preview"].log
    assert github.roles == [f"arn:aws:iam::{ACCOUNT}:role/cloudmodel-plan-digits-us-east-1"]
    (proposed,) = [name.removeprefix("bundle-") for name in github.artifacts if name.startswith("bundle-")]
    second = f"sha256:{proposed}"
    (comment,) = github.comments
    assert comment["body"].startswith("<!-- cloudmodel digits/prod -->")
    assert f"cloudmodel:bundle: {second}" in comment["body"] and first in comment["body"]
    assert "leave it as it is" in comment["body"] and "**Changes**" in comment["body"]

    # The author pins it. The runner is another machine: the bundle comes from the run that made it.
    repository.pin(second)
    repository.commit("pin it")
    done = runner.run(repository.merge("labels"), pull_request())
    assert done["preview"].ok, done["preview"].log
    assert len(github.comments) == 1, "one comment, edited"
    assert f"- bundle `{first}` → `{second}`" in comment["body"]
    assert "Optimize" not in done["preview"].log and "cloudmodel:bundle" not in comment["body"]
    assert "files: changed `labels.txt`" in comment["body"]
    s3 = store.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="store")["Contents"]]
    assert not [key for key in keys if proposed in key], "nothing is published before it is approved"

    # The merge is another commit: it is planned again, sealed, and that plan is applied.
    merged = repository.squash("labels")
    done = runner.run(merged, PUSH)
    assert done["plan"].ok, done["plan"].log
    assert done["apply"].ok, done["apply"].log
    assert set(github.artifacts["plan"]) == {"sealed.plan", f"{proposed}.tar.gz"}, "no values beside the sealed plan"
    assert "to create" in done["plan"].summary, "who approves sees the plan"
    assert github.roles[-1] == f"arn:aws:iam::{ACCOUNT}:role/cloudmodel-apply-digits-us-east-1"
    user = Shell(runner.workspace / "models/digits", author.environment)
    assert user.json("outputs", "--stack", "prod")["outputs"]["bundle_digest"] == second
    assert user.json("history", "--stack", "prod")["updates"][0]["environment"]["git.commit"] == merged
    assert f"bundles/sha256/{proposed}.tar.gz" in [
        each["Key"] for each in s3.list_objects_v2(Bucket="store")["Contents"]
    ]
    assert "lock: none\npending: none" in done["apply"].log["Tell lock and pending operations"]

    # The same plan again is stale; what failed does not keep the last step from telling how the stack was left.
    again = runner.run(merged, PUSH, only="apply", needs=done)["apply"]
    assert not again.ok and "stale" in again.log["Apply the sealed plan"]
    assert "lock: none\npending: none" in again.log["Tell lock and pending operations"]

    done = runner.run(merged, {"event_name": "schedule", "ref": "refs/heads/main"})
    assert list(done) == ["drift"] and done["drift"].ok, done["drift"].log

    # A fork's job has no role and no keys. It plans all the same, and writes no comment.
    asked, told = len(github.roles), dict(comment)
    fork = tmp_path / "fork"
    shutil.copytree(runner.workspace / ".git", fork / ".git")
    repository.branch("fork")
    repository.pin(first, "  cloudmodel:instance: ml.c7i.xlarge\n")
    repository.labels.write_text(repository.labels.read_text().replace("zero", "0"))
    repository.commit("from elsewhere")
    done = replace(runner, workspace=fork).run(repository.merge("fork"), pull_request("mallory/models"))
    assert done["preview"].ok, done["preview"].log
    assert len(github.roles) == asked and comment == told
    assert "**Changes** · 32 to create" in done["preview"].summary
    assert "**`diff` failed** (exit code 3)" in done["preview"].summary, "the bundle before is in a store for others"
