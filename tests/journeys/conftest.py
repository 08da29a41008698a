"""Whole commands, as a user types them: a process each, a real local AWS, real predictions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from cloud import Cloud
from cloudmodel.localaws import server
from repository import AWS, STORE, Repository, git
from shell import COMMAND, Shell

SEARCH = {"techniques: [quantize]": "techniques: [graph]", "budget: 2m": "budget: 1s"}
"""A search that is over at once: it tries nothing, and leaves the model as it is."""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, without any AWS or Pulumi setting of the machine; ends what it left running."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    yield (user := Shell(tmp_path, kept))
    for project in [tmp_path, *tmp_path.iterdir()]:
        if (project / ".cloudmodel/local").is_dir():
            user.run("-C", str(project), "local", "stop")


@pytest.fixture
def digits(shell: Shell) -> Shell:
    """A shell inside a fresh digits project whose model is packaged."""
    assert shell.run("init", "digits", "--template", "digits").returncode == 0
    inside = Shell(shell.folder / "digits", shell.environment)
    done = inside.run("package")
    assert done.returncode == 0, done.stderr.decode()
    return inside


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The bucket that all bundles are shared by, and that is not the project's own."""
    home = tmp_path_factory.mktemp("store")
    running = server.start(home, region="us-east-1")
    cloud = Cloud(running.endpoint_url, "us-east-1")
    cloud.client("s3").create_bucket(Bucket="store")
    yield cloud
    server.stop(home)


@pytest.fixture
def repository(shell: Shell) -> Repository:
    """One project of a repository, whose stack `prod` is of an account."""
    made = Repository(shell.folder / "origin")
    made.project.parent.mkdir(parents=True)
    git(made.folder, "init", "-q")
    assert Shell(made.project.parent, shell.environment).run("init", "digits", "--template", "digits").returncode == 0
    description = made.project / "cloudmodel.yaml"
    text = description.read_text()
    for usual, quick in SEARCH.items():
        assert usual in text
        text = text.replace(usual, quick)
    description.write_text(text + f"bundles: {STORE}\n")
    made.settings.write_text(AWS)
    (made.project / "requirements.txt").write_text("# all is installed here\n")
    return made


@pytest.fixture
def environment(shell: Shell, store: Cloud, tmp_path: Path) -> dict[str, str]:
    """What every step of a pipeline sees: no credentials, and Pulumi's command line where its installer puts it."""
    pulumi = tmp_path / "home" / ".pulumi" / "versions" / version("pulumi") / "bin" / "pulumi"
    pulumi.parent.mkdir(parents=True)
    pulumi.write_text(f"#!/bin/sh\necho v{version('pulumi')}\n")
    pulumi.chmod(0o755)
    return {
        **shell.environment,
        "HOME": str(tmp_path / "home"),
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL_S3": store.endpoint_url,
        "AWS_ENDPOINT_URL_STS": store.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Where pip has nothing to install it still reads for a second what all packages here ask for.
        "PIP_NO_WARN_CONFLICTS": "1",
    }
