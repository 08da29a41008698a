"""Projects as users make them: several stacks, a program with resources and modules of its own, the reference project,
a folder with any name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cloudmodel.bundle import archive, store
from cloudmodel.bundle.store import FolderStore
from shell import Shell

REPOSITORY = Path(__file__).parents[2]
SCAFFOLD = "cli/cloudmodel/cli/scaffold/digits"


def test_two_stacks_in_two_regions_stand_side_by_side_on_one_local_aws(digits: Shell) -> None:
    digits.json("stack", "init", "west", "--target", "local", "--region", "eu-west-1")
    with np.load(digits.folder / "data/heldout.npz") as data:
        image = json.dumps({"instances": data["inputs"][:1].tolist()}).encode()
    for stack, region in (("local", "us-east-1"), ("west", "eu-west-1")):
        up = digits.json("up", "--stack", stack, "--yes")
        assert f":{region}:" in up["outputs"]["endpoint_arn"]
    for stack in ("local", "west"):
        assert digits.json("invoke", "--stack", stack, "--input", "-", stdin=image)["status"] == 200
        digits.json("up", "--stack", stack, "--yes", "--expect-no-changes")
    digits.json("destroy", "--stack", "west", "--yes")
    assert [each["name"] for each in digits.json("local", "status")["endpoints"]] == ["digits-local"]
    digits.json("up", "--stack", "local", "--yes", "--expect-no-changes")


def test_a_program_has_resources_and_modules_of_its_own(digits: Shell) -> None:
    (digits.folder / "ours.py").write_text('TITLE = "first"\n')
    program = digits.folder / "__main__.py"
    program.write_text(
        program.read_text() + "\nimport pulumi\nimport pulumi_aws\n\nimport ours\n\n"
        'topic = pulumi_aws.sns.Topic("extra", display_name=ours.TITLE)\n'
        'pulumi.export("topic", topic.arn)\n'
        'pulumi.export("password", pulumi.Output.secret("hunter2"))\n'
    )
    up = digits.json("up", "--stack", "local", "--yes")
    assert up["outputs"]["topic"].startswith("arn:aws:sns:")
    assert up["outputs"]["password"] == "[secret]"
    assert "hunter2" not in digits.run("state", "export", "--stack", "local").stdout.decode()
    assert digits.run("outputs", "password", "--stack", "local", "--show-secrets").stdout == b"hunter2\n"

    (digits.folder / "ours.py").write_text('TITLE = "second"\n')
    changed = [step for step in digits.json("preview", "--stack", "local")["steps"] if step["op"] != "same"]
    assert [(step["op"], step["name"], step["diff"]) for step in changed] == [("update", "extra", ["displayName"])]

    program.unlink()
    refused = digits.json("preview", "--stack", "local", code=2)
    assert refused["where"] == str(program)
    digits.json("destroy", "--stack", "local", "--yes")


def test_the_reference_project_is_packaged_and_planned_without_an_account(shell: Shell) -> None:
    shutil.copytree(REPOSITORY / "stacks", shell.folder / "stacks", ignore=shutil.ignore_patterns(".cloudmodel"))
    shutil.copytree(REPOSITORY / SCAFFOLD, shell.folder / SCAFFOLD)
    digest = shell.json("package")["digest"]
    private = shell.folder / "stacks/.cloudmodel"
    assert private.stat().st_mode & 0o077 == 0

    refused = shell.json("preview", "--stack", "dev", "--offline", code=2)
    assert "cloudmodel:bundle" in refused["hint"]
    for stack in ("dev", "prod"):
        settings = shell.folder / f"stacks/Pulumi.{stack}.yaml"
        settings.write_text(settings.read_text().replace(f"sha256:{'0' * 64}\n", f"{digest}\n", 1))
        plan = shell.json("preview", "--stack", stack, "--offline")
        assert any("without credentials" in warning for warning in plan["warnings"])
        assert plan["target"] == "aws"
        assert "account" not in plan
        assert plan["summary"]["create"] == len(plan["steps"]) > 20
    assert not shell.json("local", "status")["running"], "an offline plan leaves nothing running"


def test_a_large_bundle_is_served_from_its_files_and_the_shared_ones_are_kept_once(
    digits: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = digits.json("inspect")
    monkeypatch.setattr(store, "LARGE", 0)
    place = FolderStore(digits.folder / ".cloudmodel/bundles")
    archive.extract(place.get(small["digest"]), digits.folder / "unpacked")
    manifest = archive.read_folder(digits.folder / "unpacked")
    digest, _ = place.keep(digits.folder / "unpacked", manifest)
    other, _ = place.keep(digits.folder / "unpacked", manifest.model_copy(update={"labels": None}))
    assert len(list((digits.folder / ".cloudmodel/bundles/files").iterdir())) <= len(manifest.files)
    assert digits.json("verify", digest)["digest"] == digest
    settings = digits.folder / "Pulumi.local.yaml"
    for pinned in (digest, other):  # a new revision takes the place of the old one, files and all
        settings.write_text(f"config:\n  cloudmodel:target: local\n  cloudmodel:bundle: {pinned}\n")
        up = digits.json("up", "--yes")
        assert up["outputs"]["bundle_uri"].endswith(f"/{pinned[7:]}/")
    image = json.dumps({"inputs": {"image": [[[[0.0] * 8] * 8]]}}).encode()
    assert digits.json("invoke", "--input", "-", stdin=image)["status"] == 200
    digits.json("up", "--yes", "--expect-no-changes")
    digits.json("rollback", "--yes")  # the files of the earlier bundle were taken away when the newer one took over
    assert digits.json("outputs")["outputs"]["bundle_digest"] == digest
    assert digits.json("invoke", "--input", "-", stdin=image)["status"] == 200
    with (digits.folder / "cloudmodel.yaml").open("a") as description:
        description.write("bundles: ../shared\n")
    assert digits.json("package", "--push", digest)["digest"] == digest
    assert archive.verify(digits.folder.parent / "shared/sha256" / digest[7:]) == manifest
    unpacked = digits.json("package", "--push", "unpacked", code=2)
    assert "not unpacked" in unpacked["message"]
    digits.json("destroy", "--yes")


def test_a_folder_may_have_blanks_and_letters_of_any_script(shell: Shell) -> None:
    shell.json("init", "Mein Projekt äöü 日本")
    inside = Shell(shell.folder / "Mein Projekt äöü 日本", shell.environment)
    digest = inside.json("package")["digest"]
    assert inside.json("verify", digest)["holds"]
    up = inside.json("up", "--yes")
    assert up["outputs"]["bundle_digest"] == digest
    inside.json("destroy", "--yes")
