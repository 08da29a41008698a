"""The files of a pipeline, before judges that know the hosts' own rules: actionlint, GitHub's and GitLab's schemas."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import gitlab
from actions import GitHub, load, scripts, zipped
from cloudmodel.cli.main import answer
from cloudmodel.deploy.binding import tool_version
from cloudmodel.localaws.identity import ACCOUNT
from cloudmodel.operate.bootstrap import advice, goals
from cloudmodel.operate.bootstrap.setup import GITHUB, GITLAB, Setup, pipeline
from cloudmodel.operate.pipeline.facts import apply_seconds
from cloudmodel.provider.sagemaker import GONE_SECONDS, READY_SECONDS
from cloudmodel.settings.load import load_project, load_stack
from cloudmodel.settings.model import Existing
from host_api import serving

BIN = Path(sys.executable).parent
STACK = """config:
  cloudmodel:target: {target}
  aws:region: eu-west-1
  aws:allowedAccountIds: {accounts}
{more}"""
PROJECT = "version: 1\nname: {name}\nmodel: {{source: ../../models/net.onnx}}\n{more}"
SEARCHES = "evaluate: {data: data/heldout.npz, metric: accuracy}\noptimize: {budget: 90m, train: 'rows:train'}\n"
ROLLOUT = "  cloudmodel:rollout: {strategy: linear, step: 10, bake: 900}\n  cloudmodel:scaling: {min: 2, max: 4}\n"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a project in a repository that has others."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.onnx").touch()
    monkeypatch.setattr("cloudmodel.cli.context.Context.interactive", False)

    def project(
        folder: str = "apps/digits", stack: str = "prod", more: str = "", said: str = "", **settings: str
    ) -> Path:
        made = tmp_path / folder
        made.mkdir(parents=True, exist_ok=True)
        name = made.name.replace("'", "-")
        (made / "cloudmodel.yaml").write_text(PROJECT.format(name=name, more=said))
        (made / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n")
        filled = {"target": "aws", "accounts": json.dumps([ACCOUNT]), "more": more} | settings
        (made / f"Pulumi.{stack}.yaml").write_text(STACK.format(**filled))
        return made

    return project


def init(project: Path, host: str, *words: str, stack: str = "prod") -> int:
    return answer(["ci", "init", host, "--stack", stack, "-C", str(project), *words])


def judged(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def written(make: Make, tmp_path: Path) -> Path:
    """A repository with three stacks of two projects, on both hosts; returns its root."""
    for folder, stack, more, said in (
        ("apps/digits", "prod", ROLLOUT, SEARCHES),
        ("apps/digits", "dev.eu", "", SEARCHES),
        ("apps/reviews", "prod", "", ""),
    ):
        project = make(folder, stack, more=more, said=said)
        assert init(project, "github", stack=stack) == 0
        assert init(project, "gitlab", "--branch", "trunk", "--environment", "live/eu", stack=stack) == 0
    return tmp_path


WORKFLOWS = ["cloudmodel-digits--dev.eu.yml", "cloudmodel-digits--prod.yml", "cloudmodel-reviews--prod.yml"]


@pytest.mark.actionlint
def test_actionlint_finds_nothing(written: Path) -> None:
    files = sorted((written / ".github/workflows").iterdir())
    assert [each.name for each in files] == WORKFLOWS
    # `queue` is younger than the newest actionlint; GitHub's schema, below, knows it and its values.
    young = 'unexpected key "queue" for "concurrency" section'
    judged("actionlint", "-shellcheck=", "-pyflakes=", "-ignore", young, *files)


def test_the_hosts_own_schemas_take_them(written: Path) -> None:
    check = BIN / "check-jsonschema"
    judged(check, "--builtin-schema", "vendor.github-workflows", *(written / ".github/workflows").iterdir())
    gitlab = [*(written / ".gitlab/cloudmodel").iterdir(), written / ".gitlab-ci.yml"]
    judged(check, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", *gitlab)


class Loader(yaml.SafeLoader):
    """Knows GitLab's `!reference`."""


Loader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))  # type: ignore[arg-type]


def test_a_shell_reads_every_script(written: Path, tmp_path: Path) -> None:
    found = [text for name in WORKFLOWS for text in scripts(load(written / ".github/workflows" / name))]
    for file in (written / ".gitlab/cloudmodel").iterdir():
        for job in yaml.load(file.read_text(), Loader).values():
            found += [
                each
                for key in ("before_script", "script", "after_script")
                for each in job.get(key, ())
                if isinstance(each, str)
            ]
    assert len(found) > 60
    for number, text in enumerate(found):
        (tmp_path / f"{number}.sh").write_text(re.sub(r"\$\{\{.*?\}\}", "", text))
    judged("bash", "-c", 'for each in "$0"/*.sh; do bash -n "$each" || exit 1; done', tmp_path)


def test_jobs_ask_for_the_roles_and_tokens_that_bootstrap_trusts(written: Path) -> None:
    job = pipeline(GITHUB, "acme/models", "production", "main")
    setup = Setup("digits", ACCOUNT, "eu-west-1", Existing(), (job,))
    trusted = advice.pipeline(setup)
    workflow = load(written / ".github/workflows/cloudmodel-digits--prod.yml")
    roles = {
        name: step["with"]["role-to-assume"]
        for name, each in workflow["jobs"].items()
        for step in each["steps"]
        if "role-to-assume" in step.get("with", {})
    }
    assert roles == {
        name: trusted[what]["role"]
        for name, what in (("preview", "plan"), ("plan", "plan"), ("apply", "apply"), ("drift", "plan"))
    }
    on = workflow["on"]
    assert on["push"]["branches"] == ["main"] and set(on) == {"pull_request", "push", "schedule"}
    # The subjects of GitHub's tokens: a job with an environment is named by it, others by event or branch.
    assert [name for name, each in workflow["jobs"].items() if "environment" in each] == ["apply"]
    assert trusted["apply"]["subjects"] == ["repo:acme/models:environment:" + workflow["jobs"]["apply"]["environment"]]
    assert trusted["plan"]["subjects"] == ["repo:acme/models:pull_request", "repo:acme/models:ref:refs/heads/main"]
    text = (written / ".github/workflows/cloudmodel-digits--prod.yml").read_text()
    assert "secrets." not in text and "AWS_ACCESS_KEY_ID" not in text
    for step in (step for each in workflow["jobs"].values() for step in each["steps"] if "uses" in step):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), "an action is pinned by its commit"

    gitlab = yaml.load((written / ".gitlab/cloudmodel/digits--prod.yml").read_text(), Loader)
    trusted = advice.pipeline(
        Setup("digits", ACCOUNT, "eu-west-1", Existing(), (pipeline(GITLAB, "acme/models", "live/eu", "trunk"),))
    )
    assert gitlab["cloudmodel digits prod apply"]["variables"]["AWS_ROLE_ARN"] == trusted["apply"]["role"]
    assert gitlab[".cloudmodel digits prod reads"]["variables"]["AWS_ROLE_ARN"] == trusted["plan"]["role"]
    assert gitlab["cloudmodel digits prod preview"]["extends"] == [
        ".cloudmodel digits prod reads",
        ".cloudmodel digits prod preview",
    ]
    assert trusted["plan"]["subjects"] == ["project_path:acme/models:ref_type:branch:ref:*"]
    assert trusted["apply"]["subjects"] == ["project_path:acme/models:ref_type:branch:ref:trunk"]
    fork = gitlab["cloudmodel digits prod preview of a fork"]
    assert fork["extends"] == [".cloudmodel digits prod", ".cloudmodel digits prod preview"], "a fork has no role"
    for name in ("plan", "apply", "drift"):
        assert '$CI_COMMIT_BRANCH == "trunk"' in gitlab[f"cloudmodel digits prod {name}"]["rules"][0]["if"]


def test_one_group_a_stack_and_nothing_cancels_an_apply(written: Path) -> None:
    groups = set()
    for name in WORKFLOWS:
        workflow = load(written / ".github/workflows" / name)
        concurrency = workflow["concurrency"]
        # `max`: what waits is not replaced by what comes later, as it would be without it.
        assert "cancel-in-progress" not in concurrency and concurrency["queue"] == "max"
        stack, of_a_pull_request = concurrency["group"].split("${{ ")
        assert of_a_pull_request == "github.event_name == 'pull_request' && format(' {0}', github.run_id) || '' }}"
        groups.add(stack)
        assert [job for job, each in workflow["jobs"].items() if "concurrency" in each] == ["preview"]
    assert len(groups) == 3
    jobs = [yaml.load(each.read_text(), Loader) for each in (written / ".gitlab/cloudmodel").iterdir()]
    applies = [job for file in jobs for name, job in file.items() if name.endswith(" apply")]
    assert len({job["resource_group"] for job in applies}) == 3
    for file in jobs:
        (apply,), (drift,) = (
            [job for name, job in file.items() if name.endswith(kind)] for kind in (" apply", " drift")
        )
        assert drift["resource_group"] == apply["resource_group"]
    assert {job["interruptible"] for job in applies} == {False}
    assert {job["when"] for each in applies for job in each["rules"]} == {"manual"}
    names = [name for file in jobs for name in file]
    assert len(names) == len(set(names)), "GitLab has one name space for all files"
    # As GitLab itself demands it; its schema does not say so.
    assert all(re.fullmatch(r"[\w${}. -][\w${}/. -]*", job["resource_group"]) for job in applies)
    exposed = [
        each["artifacts"]["expose_as"]
        for job in jobs
        for each in job.values()
        if "expose_as" in each.get("artifacts", ())
    ]
    assert len(exposed) == 3 and all(re.fullmatch(r"\w[-\w ]*", each) for each in exposed)


def test_no_two_stacks_share_a_name_and_what_is_another_stacks_is_not_overwritten(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits, prod = make("apps/digits", "prod-eu"), make("apps/digits-prod", "eu")
    described = (prod / "cloudmodel.yaml").read_text()
    (prod / "cloudmodel.yaml").write_text(
        described.replace("name: digits-prod", "name: digits").replace("../../models/net.onnx", "net:make")
    )
    for project, stack in ((digits, "prod-eu"), (prod, "eu")):
        assert init(project, "github", stack=stack) == init(project, "gitlab", stack=stack) == 0
    first, second = (tmp_path / ".github/workflows").iterdir()
    assert load(first)["concurrency"]["group"] != load(second)["concurrency"]["group"]
    one, other = (gitlab.load(each) for each in (tmp_path / ".gitlab/cloudmodel").iterdir())
    assert not one.keys() & other.keys()
    requirements = [(project / "requirements.txt").read_text().splitlines()[-1] for project in (digits, prod)]
    assert requirements == [f"cloudmodel=={tool_version()}", f"cloudmodel[torch]=={tool_version()}"]

    files = {each: each.read_bytes() for each in (first, second)}
    capsys.readouterr()
    assert init(make("old/digits", "prod-eu"), "github", "--json", stack="prod-eu") == 2
    assert "was written for apps/digits/Pulumi.prod-eu.yaml" in json.loads(capsys.readouterr().out)["message"]
    assert {each: each.read_bytes() for each in (tmp_path / ".github/workflows").iterdir()} == files


def test_a_job_outlasts_the_endpoint_and_its_credentials_outlast_the_job(make: Make, tmp_path: Path) -> None:
    project = make(more=ROLLOUT, said=SEARCHES)
    plain = make(stack="plain", said=SEARCHES)
    found = load_project(project)
    slow, quick = (load_stack(found, name, pinned=False) for name in ("prod", "plain"))
    assert apply_seconds(quick) >= READY_SECONDS + GONE_SECONDS
    assert apply_seconds(slow) > 9000 + GONE_SECONDS, "ten steps of 15 minutes"
    slowest = (
        "  cloudmodel:rollout: {strategy: rolling, step: 5, bake: 630}\n  cloudmodel:scaling: {min: 20, max: 40}\n"
    )
    slowest += "  cloudmodel:timeouts: {startup: 3600, download: 3600}\n"
    longest = load_stack(load_project(make(stack="long", more=slowest, said=SEARCHES)), "long", pinned=False)
    assert apply_seconds(slow) < apply_seconds(longest) <= goals.APPLY_SECONDS, "the settings allow no longer one"
    assert init(project, "github") == 0 and init(plain, "github", stack="plain") == 0
    jobs = load(tmp_path / ".github/workflows/cloudmodel-digits--prod.yml")["jobs"]
    assert jobs["apply"]["timeout-minutes"] * 60 >= apply_seconds(slow)
    seconds = [
        step["with"]["role-duration-seconds"]
        for step in jobs["apply"]["steps"]
        if "role-duration-seconds" in step.get("with", {})
    ]
    assert seconds == [jobs["apply"]["timeout-minutes"] * 60]
    assert jobs["preview"]["timeout-minutes"] > 90, "the search's own budget comes on top"
    last = [jobs[name]["steps"][-1] for name in ("apply", "drift")]
    assert [(step["if"], "state verify" in step["run"]) for step in last] == [("always()", True)] * 2


def test_only_what_concerns_a_stack_starts_its_pipeline(written: Path) -> None:
    on = load(written / ".github/workflows/cloudmodel-digits--dev.eu.yml")["on"]
    assert on["push"]["paths"] == on["pull_request"]["paths"] == [
        "apps/digits/**", "!apps/digits/Pulumi.*.yaml", "apps/digits/Pulumi.dev.eu.yaml", "models/net.onnx",
    ]  # fmt: skip
    preview = "".join(scripts(load(written / ".github/workflows/cloudmodel-digits--prod.yml")))
    assert "git diff --quiet 'HEAD^1' -- cloudmodel.yaml '*.py' data/heldout.npz ../../models/net.onnx" in preview
    assert "cloudmodel optimize" in preview
    assert "cloudmodel optimize" not in "".join(
        scripts(load(written / ".github/workflows/cloudmodel-reviews--prod.yml"))
    )


def test_a_pinned_bundle_is_taken_from_own_runs_alone_and_by_its_bytes_alone(make: Make, tmp_path: Path) -> None:
    """A fork's run may leave an artifact of any name, and a zip may hold links to what the job knows."""
    ours, *_ = bundles = [f"bundle {n}".encode() for n in range(4)]
    pins = [hashlib.sha256(each).hexdigest() for each in bundles]
    project = make()
    assert init(project, "github") == init(project, "gitlab") == 0
    with (project / "Pulumi.prod.yaml").open("a") as settings:
        settings.writelines(f"bundle: sha256:{each}\n" for each in pins)
    kept = project / ".cloudmodel/bundles/sha256"

    def artifact(name: str, content: bytes) -> bytes:
        files = {f"{name}.tar.gz": content, f"{name}.tar.gz.sig": b"a signature"}
        return zipped(files, {f"{name}.tar.gz.env": "/proc/self/environ"})

    github = GitHub("acme/models")
    for name, content in zip(pins, bundles, strict=True):
        github.left.append((f"bundle-{name}", 2, artifact(name, content)))
    for name, left in zip(pins, (artifact(pins[0], ours), None, artifact(pins[2], ours), b"no zip"), strict=True):
        github.left += [(f"bundle-{name}", 1, left)] if left else []
    workflow = load(tmp_path / ".github/workflows/cloudmodel-digits--prod.yml")
    given = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(tmp_path), "OUT": str(tmp_path)}
    (script,) = {
        each["run"]
        for job in ("preview", "plan")
        for each in workflow["jobs"][job]["steps"]
        if each.get("name", "").startswith("Fetch")
    }
    with serving(github):
        known = {
            "GITHUB_TOKEN": "a-token", "GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": github.repository,
            "PINS": " ".join(f"sha256:{each}" for each in pins),
        }  # fmt: skip
        subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=project, env=given | known, check=True)
    assert {each.name: each.read_bytes() for each in kept.iterdir()} == {
        f"{pins[0]}.tar.gz": ours,
        f"{pins[0]}.tar.gz.sig": b"a signature",
    }
    shutil.rmtree(kept)

    host = gitlab.GitLab("acme/models", packages={f"{pins[0]}.tar.gz": ours, f"{pins[2]}.tar.gz": ours})
    jobs = gitlab.load(tmp_path / ".gitlab/cloudmodel/digits--prod.yml")
    for job, next_ in (
        (".cloudmodel digits prod preview", "model=same"),
        ("cloudmodel digits prod plan", "# An earlier job"),
    ):
        script = jobs[job]["script"][0].partition(next_)[0]
        host.elsewhere = "plan" in job
        with serving(host):
            known = {"BUNDLES": f"{host.url}/api/v4/projects/7/packages/generic/cloudmodel-bundles/0.0.0"}
            known |= {"CI_JOB_TOKEN": "a-job", "CI_MERGE_REQUEST_DIFF_BASE_SHA": "none"}
            subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=project, env=given | known, check=True)
        assert {each.name: each.read_bytes() for each in kept.iterdir()} == {f"{pins[0]}.tar.gz": ours}
        shutil.rmtree(kept)


def test_again_it_writes_nothing_and_what_was_changed_by_hand_is_asked_for(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make()
    (project / "requirements.txt").write_text("cloudmodel @ file:///wheels/cloudmodel.whl\n")
    (tmp_path / ".gitlab-ci.yml").write_text("stages: [test, deploy]\n")
    assert init(project, "gitlab", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == [".gitlab/cloudmodel/digits--prod.yml"] and told["include"] == ".gitlab/cloudmodel/*.yml"
    assert told["next"].startswith("cloudmodel bootstrap --stack prod --gitlab OWNER/NAME --environment production")
    file = tmp_path / ".gitlab/cloudmodel/digits--prod.yml"
    first = file.read_bytes()
    assert init(project, "gitlab", "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] == []

    # Settings moved, nobody touched the file: it is written anew. Somebody did: it is theirs.
    assert init(project, "gitlab", "--branch", "trunk") == 0
    assert file.read_bytes() != first
    file.write_text(file.read_text().replace("python:3.11", "registry.example/python"))
    mine = file.read_bytes()
    capsys.readouterr()
    assert init(project, "gitlab", "--json") == 2
    refused = json.loads(capsys.readouterr().out)
    assert "changed by hand" in refused["message"] and "--yes" in refused["hint"] and file.read_bytes() == mine
    (project / "requirements.txt").write_text("numpy\n")
    assert init(project, "gitlab", "--yes") == 0
    assert file.read_bytes() == first
    said = capsys.readouterr().out
    for todo in ("install cloudmodel, which", "schedule of main", "CLOUDMODEL_COMMENT_TOKEN"):
        assert todo in said

    # A cancelled preview leaves the note to the newer one.
    (script,) = gitlab.load(file)[".cloudmodel digits prod preview"]["after_script"]
    given = {"PATH": os.environ["PATH"], "OUT": str(tmp_path), "CI_JOB_STATUS": "canceled"}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=given, check=True)
    assert not (tmp_path / "comment.md").exists()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"target": "local"}, "a local stack"),
        ({"accounts": '["111122223333", "444455556666"]'}, "may touch 2"),
        ({"folder": "apps/a'b"}, "a pipeline's patterns cannot name that"),
    ],
)
def test_what_no_pipeline_can_do_is_refused(make: Make, capsys: Any, more: dict[str, str], what: str) -> None:
    project = make(**more)
    assert init(project, "github", "--json") == 2
    assert what in json.loads(capsys.readouterr().out)["message"]


def test_it_needs_a_repository_and_a_branch_that_a_token_can_name(make: Make, tmp_path: Path, capsys: Any) -> None:
    assert init(make(), "github", "--branch", "release*") == 2
    assert "no name that can be matched exactly" in capsys.readouterr().err
    (tmp_path / ".git").rmdir()
    assert init(make(), "github") == 2
    assert "git init" in capsys.readouterr().err
