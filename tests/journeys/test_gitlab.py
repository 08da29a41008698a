"""From a merge request to production on GitLab: the jobs that `ci init gitlab` writes, with their shell scripts as they
stand, on a git repository and the local AWS, which takes their tokens. GitLab itself is stood in for (`gitlab`)."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud import Cloud
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT
from cloudmodel.operate.bootstrap import advice, documents
from cloudmodel.operate.bootstrap.setup import GITLAB, Setup
from cloudmodel.operate.bootstrap.setup import pipeline as trusted
from cloudmodel.settings.model import Existing
from gitlab import GitLab, Pipeline, load
from host_api import serving
from repository import Repository, git
from shell import Shell

PROJECT = "acme/ml/models"


@pytest.fixture
def pipeline(repository: Repository, environment: dict[str, str], tmp_path: Path) -> Iterator[Pipeline]:
    done = Shell(repository.project, environment).run("ci", "init", "gitlab", "--stack", "prod")
    assert done.returncode == 0, done.stderr
    workspace = tmp_path / "builds" / "models"
    workspace.mkdir(parents=True)
    git(workspace, "init", "-q")
    jobs = load(repository.folder / ".gitlab/cloudmodel/digits--prod.yml")
    with serving(GitLab(PROJECT)) as gitlab:
        yield Pipeline(jobs, gitlab, repository.folder, workspace, environment)
    if (workspace / "models/digits/.cloudmodel/local").is_dir():
        server.stop(workspace / "models/digits/.cloudmodel/local")


def merge_request(base: str) -> dict[str, str]:
    return {
        "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_MERGE_REQUEST_IID": "3",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": PROJECT, "CI_MERGE_REQUEST_PROJECT_PATH": PROJECT,
    }  # fmt: skip


def test_a_model_goes_from_a_merge_request_to_production(
    repository: Repository, pipeline: Pipeline, environment: dict[str, str], store: Cloud
) -> None:
    gitlab = pipeline.gitlab
    author = Shell(repository.project, environment | {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"})
    first = author.json("package", "--push")["digest"]
    repository.pin(first)
    base = repository.commit("a project with a pipeline")

    # Another model, and the data that it is judged by are gone: what failed is in the comment all the same.
    repository.branch("labels")
    repository.name_the_zero()
    held_out = repository.project / "data/heldout.npz"
    rows = held_out.read_bytes()
    held_out.unlink()
    done = pipeline.run(repository.commit("name the zero"), "labels", merge_request(base))
    assert list(done) == ["cloudmodel digits prod preview"] and not done["cloudmodel digits prod preview"].ok
    (note,) = gitlab.notes
    assert note["body"].startswith("<!-- cloudmodel digits/prod -->")
    assert "**No plan** · **`optimize` failed** (exit code 2)" in note["body"] and "heldout.npz" in note["body"]
    assert "cloudmodel:bundle" not in note["body"]

    # The author brings them back and pins what that makes. The runner is another machine, its role reads.
    held_out.write_bytes(rows)
    second = author.json("package")["digest"]
    repository.pin(second)
    done = pipeline.run(repository.commit("pin it"), "labels", merge_request(base))
    assert done["cloudmodel digits prod preview"].ok, done["cloudmodel digits prod preview"].log
    assert len(gitlab.notes) == 1, "one note, edited"
    assert f"- bundle `{first}` → `{second}`" in note["body"] and "files: changed `labels.txt`" in note["body"]
    assert "**Changes**" in note["body"] and "cloudmodel:bundle" not in note["body"]
    (report,) = pipeline.workspace.glob("cloudmodel-out/digits--prod/report")
    assert json.loads(report.read_text())["create"] > 20, "the widget's totals"
    assert second.removeprefix("sha256:") not in kept(store), "nothing is published before it is approved"

    # The merge is planned again; that plan waits for somebody who plays it.
    merged = repository.squash("labels")
    push = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}
    done = pipeline.run(merged, "main", push, play=["cloudmodel digits prod apply"])
    assert done["cloudmodel digits prod plan"].ok, done["cloudmodel digits prod plan"].log
    assert "to create" in done["cloudmodel digits prod plan"].log
    kinds = {Path(path).name.partition(".")[2] for path in done["cloudmodel digits prod plan"].artifacts}
    assert kinds == {"plan", "tar.gz"}, "no values beside the sealed plan"
    assert done["cloudmodel digits prod apply"].ok, done["cloudmodel digits prod apply"].log
    assert "lock: none\npending: none" in done["cloudmodel digits prod apply"].log
    assert second.removeprefix("sha256:") in kept(store)
    user = Shell(pipeline.workspace / "models/digits", author.environment)
    assert user.json("outputs", "--stack", "prod")["outputs"]["bundle_digest"] == second

    done = pipeline.run(merged, "main", {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main"})
    assert list(done) == ["cloudmodel digits prod drift"] and done["cloudmodel digits prod drift"].ok, done[
        "cloudmodel digits prod drift"
    ].log
    assert "lock: none\npending: none" in done["cloudmodel digits prod drift"].log

    # The roles that the jobs took are those whose trust takes such tokens.
    setup = Setup("digits", ACCOUNT, "us-east-1", Existing(), (trusted(GITLAB, PROJECT, "production", "main"),))
    plan, apply = (advice.outputs(setup)[f"{what}_role_arn"] for what in ("plan", "apply"))
    branch = f"project_path:{PROJECT}:ref_type:branch:ref:"
    assert gitlab.roles == [
        (plan, f"{branch}labels"), (plan, f"{branch}labels"), (plan, f"{branch}main"), (apply, f"{branch}main"),
        (plan, f"{branch}main"),
    ]  # fmt: skip
    for role, subject in gitlab.roles:
        (statement,) = json.loads(documents.trust(setup, apply=role == apply))["Statement"]
        (patterns,) = [found[f"{GITLAB}:sub"] for found in statement["Condition"].values() if f"{GITLAB}:sub" in found]
        assert any(fnmatch.fnmatchcase(subject, pattern) for pattern in patterns)

    # A fork's merge request has jobs without a role.
    fork = merge_request(base) | {"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "mallory/models"}
    assert pipeline.names(fork) == ["cloudmodel digits prod preview of a fork"]
    assert "AWS_ROLE_ARN" not in pipeline.extended("cloudmodel digits prod preview of a fork")["variables"]


def kept(store: Cloud) -> str:
    """The names of everything in the bundle store."""
    return " ".join(each["Key"] for each in store.client("s3").list_objects_v2(Bucket="store")["Contents"])
