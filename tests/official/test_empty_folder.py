"""Going back from an empty folder: credentials, the stack's name, and what `bootstrap` and `up` left in the account."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud import Cloud, order_faults
from cloudmodel.core.errors import (
    CloudmodelError,
    CredentialsMissing,
    SettingsInvalid,
    StackNotFound,
    StateCorrupt,
    Unsupported,
    UsageError,
)
from cloudmodel.deploy.official import recorded
from cloudmodel.deploy.official.plugin import write_launcher
from cloudmodel.engine.holder import me
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.program.aws.local import LOCAL_URL
from cloudmodel.settings.load import load_project, load_stack
from shell import Shell
from traffic import revise

pytestmark = pytest.mark.official_engine

IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/serving@sha256:{'0' * 64}"
STACK = {
    "cloudmodel:target": "aws", "aws:region": "us-east-1", "aws:allowedAccountIds": [ACCOUNT],
    "cloudmodel:existing": {"image": IMAGE},
}  # fmt: skip
DEAD = replace(me(7, "up"), host="runner-41", owner="ci", time="2026-01-05T01:00:00+00:00", beats=False)
"""A job of another machine and of an earlier version, which no credentials outlast."""
PIPELINE = {
    "GITHUB_ACTOR": "anna", "GITHUB_SERVER_URL": "https://ci.example", "GITHUB_REPOSITORY": "a/b",
    "GITHUB_RUN_ID": "9", "GITHUB_SHA": "1f" * 20,
}  # fmt: skip


@dataclass(frozen=True)
class Account:
    """A local AWS in an account's place, and what a shell with its credentials has."""

    running: Running
    cloud: Cloud
    environment: dict[str, str]

    def shell(self, folder: Path) -> Shell:
        folder.mkdir(parents=True)
        return Shell(folder, dict(self.environment))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    home = tmp_path_factory.mktemp("aws")
    running = server.start(home, region="us-east-1")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    yield Account(
        running,
        Cloud(running.endpoint_url, "us-east-1"),
        kept
        | {
            "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": running.endpoint_url,
            "HOME": str(tmp_path_factory.mktemp("home")),
        },
    )  # fmt: skip
    server.stop(home)


def written(folder: Path, name: str, keys: dict[str, Any]) -> None:
    """Add `keys` to a settings file, as bootstrap says."""
    file = folder / name
    there = yaml.safe_load(file.read_text()) if file.exists() else {}
    config = keys.get("config", {})
    if "cloudmodel:existing" in config:
        config["cloudmodel:existing"] |= there.get("config", {}).get("cloudmodel:existing", {})
    config = there.get("config", {}) | config
    file.write_text(yaml.safe_dump(there | keys | ({"config": config} if config else {}), sort_keys=False))


def bootstrapped(account: Account, folder: Path) -> Shell:
    """A project whose stack `prod` is of the account, as bootstrap advised. Our plugin stands for Pulumi's own."""
    assert account.shell(folder).run("init", "digits", "--template", "digits").returncode == 0
    shell = Shell(folder / "digits", account.environment)
    launcher = write_launcher(folder / "plugin") / "pulumi-resource-aws"
    launcher.write_text(f"#!/bin/sh\nexport {LOCAL_URL}={account.cloud.endpoint_url}\n{launcher.read_text()}")
    written(shell.folder, "Pulumi.yaml", {"plugins": {"providers": [{"name": "aws", "path": str(launcher.parent)}]}})
    written(shell.folder, "Pulumi.prod.yaml", {"config": STACK})
    for name, keys in shell.json("bootstrap", "--stack", "prod", "--yes")["settings"].items():
        if "backend" in keys:
            keys["backend"]["url"] += "&s3ForcePathStyle=true"  # an address of numbers has no names below it
        written(shell.folder, name, keys)
    return shell


def pinned(shell: Shell) -> dict[str, Any]:
    """The outputs of an update to the newest bundle, which the stack's settings name."""
    digest = shell.json("package", "--push")["digest"]
    written(shell.folder, "Pulumi.prod.yaml", {"config": {"cloudmodel:bundle": digest}})
    outputs: dict[str, Any] = shell.json("up", "--stack", "prod", "--yes")["outputs"]
    return outputs


def test_an_endpoint_goes_back_with_credentials_and_the_stacks_name(account: Account, tmp_path: Path) -> None:
    shell = bootstrapped(account, tmp_path / "project")
    first = pinned(shell)
    revise(shell.folder / "models/digits.onnx")
    second = pinned(shell)
    assert second["revision"] != first["revision"]
    s3 = account.cloud.client("s3")
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "cloudmodel-state" in each["Name"]]
    s3.put_object(Bucket=bucket, Key=".cloudmodel/locks/digits/prod.json", Body=json.dumps(asdict(DEAD)))

    bare = account.shell(tmp_path / "empty")
    job = Shell(bare.folder, bare.environment | PIPELINE)
    done = job.run("rollback", "--stack", "prod", "--yes", "--json", "-m", "bad answers")
    assert done.returncode == 0, done.stderr.decode()
    assert "ci on runner-41" in done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["outputs"] == first and first["bundle_digest"] in told["next"]
    assert told["calls"] == [
        "s3 PutObject", "sagemaker CreateModel", "sagemaker CreateEndpointConfig", "sagemaker UpdateEndpoint",
        "sagemaker DeleteEndpointConfig", "sagemaker DeleteModel", "s3 DeleteObject",
    ]  # fmt: skip
    served = account.cloud.client("sagemaker").describe_endpoint(EndpointName=first["endpoint_name"])
    assert first["revision"] in json.dumps(served, default=str)
    assert bare.json("drift", "--stack", "digits/prod")["verdict"] == "none"
    entry, earlier = bare.json("history", "--stack", "prod")["updates"][:2]
    assert (entry["kind"], entry["result"]) == ("rollback", "succeeded")
    assert entry["message"] == "rollback to 1: bad answers"
    assert (entry["bundle"], entry["revision"]) == (first["bundle_digest"], first["revision"])
    assert {name: entry["environment"][name] for name in ("actor", "git.commit", "ci")} == {
        "actor": "anna", "git.commit": "1f" * 20, "ci": "https://ci.example/a/b/actions/runs/9",
    }  # fmt: skip
    assert (earlier["bundle"], earlier["revision"]) == (second["bundle_digest"], second["revision"])
    assert list(bare.folder.iterdir()) == []


SHOP = "cloudmodel-state-shop-123456789012-eu-west-1"
"""As bootstrap calls the bucket of a project `shop`."""
STATE = {f".pulumi/stacks/{project}/prod.json{end}": "{}" for project in ("shop", "cart") for end in ("", ".bak")}
RECORD = ".cloudmodel/settings/shop/prod.json"


@pytest.fixture
def s3(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """This process on the machine of whoever is on call: credentials, another region, and two stacks there."""
    for name in [each for each in os.environ if each.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))]:
        monkeypatch.delenv(name)
    for name, value in (account.environment | {"AWS_REGION": "eu-west-1"}).items():
        monkeypatch.setenv(name, value)
    client = account.cloud.client("s3")
    for bucket in (SHOP, SHOP.replace("eu-west-1", "eu-west-3")):  # the other is of another region
        client.create_bucket(Bucket=bucket)
        for key, content in STATE.items():
            client.put_object(Bucket=bucket, Key=key, Body=content)
    yield client
    order_faults(account.running)
    for bucket in client.list_buckets()["Buckets"]:
        if SHOP.removesuffix("1") in bucket["Name"]:
            for each in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
                client.delete_object(Bucket=bucket["Name"], Key=each["Key"])
            client.delete_bucket(Bucket=bucket["Name"])


def told(kind: type[CloudmodelError], stack: str, folder: Path) -> str:
    """What is said where `stack` is not to be had."""
    with pytest.raises(kind) as refused:
        recorded.opened(stack, folder)
    return f"{refused.value.message}\n{refused.value.where}\n{refused.value.hint}"


def test_a_name_that_several_stacks_have_or_none_is_told(
    account: Account, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = told(UsageError, "prod", tmp_path)
    assert "2 stacks are called prod" in several and "--stack cart/prod or --stack shop/prod" in several
    assert "no `up` of this version" in told(Unsupported, "shop/prod", tmp_path)
    assert "no `up` of this version" in told(Unsupported, "organization/cart/prod", tmp_path)
    for absent in ("staging", "web/prod", "shop/prod.json"):
        assert "PULUMI_BACKEND_URL" in told(StackNotFound, absent, tmp_path)
    twin = f"acme-{SHOP}"
    s3.create_bucket(Bucket=twin)
    s3.put_object(Bucket=twin, Key=".pulumi/stacks/shop/prod.json.gz", Body=b"")
    assert f"PULUMI_BACKEND_URL=s3://{SHOP}" in told(UsageError, "shop/prod", tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"s3://{twin}")
    assert f"s3://{twin}/.cloudmodel" in told(Unsupported, "prod", tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    assert "only a state in S3" in told(Unsupported, "prod", tmp_path)
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    order_faults(account.running, {"service": "s3", "status": 403, "code": "AccessDenied"})
    assert "PULUMI_BACKEND_URL" in told(CredentialsMissing, "prod", tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"s3://{twin}")
    assert "AccessDenied" in told(CredentialsMissing, "prod", tmp_path)


def test_what_an_up_recorded_is_the_project_again(account: Account, s3: Any, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "cloudmodel.yaml").write_text("version: 1\nname: shop\nmodel: {source: shop.onnx}\n")
    (project / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (project / "key.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
    written(project, "Pulumi.prod.yaml", {"config": STACK | {"cloudmodel:signed": "key.pub"}})
    (project / "made.yaml").write_text("encryptionsalt: v1:salt\nconfig: {}\n")
    here = load_project(project)

    def keep() -> None:
        settings = load_stack(here, "prod", pinned=False)
        recorded.keep(here, settings, f"s3://{SHOP}?region=eu-west-1", project / "made.yaml")

    keep()
    with pytest.raises(SettingsInvalid, match="bundle"):
        recorded.opened("shop/prod", tmp_path / "unpinned")
    written(project, "Pulumi.prod.yaml", {"config": {"cloudmodel:bundle": f"sha256:{'0' * 64}"}})
    keep()
    again, stack = recorded.opened("shop/prod", tmp_path / "found")
    assert (again.name, again.pulumi_name, stack.signed) == ("shop", "shop", "-----BEGIN PUBLIC KEY-----\n")
    assert yaml.safe_load((again.folder / "Pulumi.yaml").read_text())["backend"]["url"].startswith(f"s3://{SHOP}")
    copy = tmp_path / "found/.cloudmodel/official/work/prod/Pulumi.prod.yaml"
    assert yaml.safe_load(copy.read_text()) == {"encryptionsalt": "v1:salt"}

    moved = json.loads(s3.get_object(Bucket=SHOP, Key=RECORD)["Body"].read())
    moved["pulumi"] = moved["pulumi"].replace(SHOP, "elsewhere")
    s3.put_object(Bucket=SHOP, Key=RECORD, Body=json.dumps(moved))
    assert "the record is of s3://elsewhere" in told(Unsupported, "shop/prod", tmp_path / "moved")
    moved["pulumi"] = moved["pulumi"].replace("elsewhere", SHOP)
    moved["settings"] = moved["settings"].replace("target: aws", "target: local")
    s3.put_object(Bucket=SHOP, Key=RECORD, Body=json.dumps(moved))
    assert "in the local AWS of its project" in told(Unsupported, "shop/prod", tmp_path / "local")
    s3.put_object(Bucket=SHOP, Key=RECORD, Body=b"{}")
    assert "not whole" in told(StateCorrupt, "shop/prod", tmp_path / "damaged")
