"""A state in S3 and secrets under a KMS key: a stack's whole life on the official engine, against the local AWS."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chains import chain
from cloud import EXPIRED, Cloud, order_faults
from cloudmodel.deploy.official.plugin import write_launcher
from cloudmodel.engine.holder import me
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.program.aws.local import LOCAL_URL
from shell import Shell, lines_until

pytestmark = pytest.mark.official_engine

PROGRAM = """
import pulumi

class Part(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("cm:index:Part", name, {}, None)
        self.register_outputs({"token": pulumi.Output.secret("hunter2hunter2")})

Part("part")
pulumi.export("token", pulumi.Output.secret("hunter2hunter2"))
pulumi.export("revision", "one")
"""
STACK = """
{head}
config:
  cloudmodel:target: aws
  cloudmodel:bundle: sha256:{digest}
  aws:region: us-east-1
  aws:allowedAccountIds: ["{account}"]
"""


@dataclass(frozen=True)
class Setting:
    """A project whose state's bucket and key are in a local AWS that is not the project's own."""

    shell: Shell
    cloud: Cloud
    running: Running
    backend: str
    key: str

    def stack(self, name: str, key: str = "alias/secrets", **more: str) -> None:
        """Write a stack of a real account, its secrets under this key."""
        head = [f"secretsprovider: awskms://{key}?region=us-east-1&endpoint={self.running.endpoint_url}"] if key else []
        head += [f"{entry}: {value}" for entry, value in more.items()]
        text = STACK.format(head="\n".join(head), digest="0" * 64, account=ACCOUNT)
        (self.shell.folder / f"Pulumi.{name}.yaml").write_text(text)

    def contents(self) -> dict[str, bytes]:
        """Every object of the state's bucket."""
        s3 = self.cloud.client("s3")
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket="state").get("Contents", ())]
        return {key: s3.get_object(Bucket="state", Key=key)["Body"].read() for key in keys}


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    home, folder = tmp_path_factory.mktemp("aws"), tmp_path_factory.mktemp("project")
    running = server.start(home, region="us-east-1")
    cloud = Cloud(running.endpoint_url, "us-east-1")
    cloud.client("s3").create_bucket(Bucket="state")
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/secrets", TargetKeyId=key)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    environment = kept | {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_STS": running.endpoint_url,
        "AWS_ENDPOINT_URL_SAGEMAKER": running.endpoint_url,
        "HOME": str(tmp_path_factory.mktemp("home")),
    }
    backend = f"s3://state?endpoint={running.endpoint_url}&s3ForcePathStyle=true&region=us-east-1"
    (folder / "cloudmodel.yaml").write_text("version: 1\nname: digits\nmodel: {source: digits.onnx}\n")
    (folder / "Pulumi.yaml").write_text(f"name: digits\nruntime: python\nbackend: {{url: '{backend}'}}\n")
    (folder / "__main__.py").write_text(PROGRAM)
    yield Setting(Shell(folder, environment), cloud, running, backend, key)
    server.stop(home)


@pytest.fixture
def well(setting: Setting) -> Iterator[Setting]:
    yield setting
    order_faults(setting.running)


def test_a_stack_lives_in_s3_under_a_kms_key(well: Setting, tmp_path: Path) -> None:
    shell = well.shell
    well.stack("prod")
    planned = shell.json("preview", "--stack", "prod")
    assert planned["account"] == ACCOUNT and planned["engine"] == "official"
    assert set(well.contents()) <= {".pulumi/meta.yaml"}, "a preview writes no state"

    made = shell.json("up", "--stack", "prod", "--yes")
    assert made["summary"]["create"] == 2 and made["outputs"] == {"revision": "one", "token": "[secret]"}
    (advice,) = [each for each in made["warnings"] if "encryptedkey" in each]
    well.stack("prod", encryptedkey=advice.rpartition(" ")[2])
    assert ".pulumi/stacks/digits/prod.json" in well.contents()
    assert not [key for key, content in well.contents().items() if b"hunter2" in content]

    again = shell.json("up", "--stack", "prod", "--yes", "--expect-no-changes")
    assert again["warnings"] == []
    assert shell.json("outputs", "--stack", "prod", "--show-secrets")["outputs"]["token"] == "hunter2hunter2"
    assert [each["kind"] for each in shell.json("history", "--stack", "prod")["updates"]] == ["up", "up"]

    # The states of its history are opened by the key, and what a rollback writes down is sealed by it.
    program = shell.folder / "__main__.py"
    program.write_text(PROGRAM.replace('"one"', '"two"').replace("hunter2", "hunter3"))
    shell.json("up", "--stack", "prod", "--yes")
    back = shell.json("rollback", "--stack", "prod", "--yes")
    assert back["outputs"]["revision"] == "one"
    assert shell.json("outputs", "--stack", "prod", "--show-secrets")["outputs"]["token"] == "hunter2hunter2"
    assert not (shell.folder / ".cloudmodel/passphrase").exists()
    program.write_text(PROGRAM)

    exported = shell.json("state", "export", "--stack", "prod")["state"]
    assert exported["deployment"]["secrets_providers"]["type"] == "cloud"
    file = tmp_path / "state.json"
    file.write_text(json.dumps(exported))
    shell.json("state", "import", "--stack", "prod", "--yes", "--file", str(file))
    shell.json("state", "verify", "--stack", "prod")
    shell.json("preview", "--stack", "prod", "--expect-no-changes")
    well.cloud.client("s3").delete_object(Bucket="state", Key=".pulumi/stacks/digits/prod.json")
    shell.json("state", "rebuild", "--stack", "prod", "--yes")
    shell.json("preview", "--stack", "prod", "--expect-no-changes")
    assert not [key for key, content in well.contents().items() if b"hunter2" in content]
    for reference in exported["deployment"]["resources"]:
        reference.pop("parent", None) if reference["type"].startswith("cm:") else reference.update(urn="broken")
    file.write_text(json.dumps(exported))
    assert shell.json("state", "import", "--stack", "prod", "--yes", "--file", str(file), code=1)["hint"]

    assert shell.json("cancel", "--stack", "prod", "--yes")["cancelled"] is None
    s3 = well.cloud.client("s3")
    ours = replace(me(1, "up"), host="build-7", owner="anna")
    s3.put_object(Bucket="state", Key=".cloudmodel/locks/digits/prod.json", Body=json.dumps(asdict(ours)))
    held = shell.json("destroy", "--stack", "prod", "--yes", code=16)
    assert "up by anna on build-7" in held["message"]
    # Pulumi, when it was killed with that run, left a lock too: the two end together. Another machine's is another's.
    theirs = {"pid": 4711, "username": "bert", "hostname": "build-7", "timestamp": "2026-01-01T00:00:00Z"}
    key = ".pulumi/locks/organization/digits/prod/0e0f.json"
    s3.put_object(Bucket="state", Key=key, Body=json.dumps(theirs))
    shell.json("state", "unlock", "--stack", "prod", "--id", ours.id)
    assert key not in well.contents()
    s3.put_object(Bucket="state", Key=".cloudmodel/locks/digits/prod.json", Body=json.dumps(asdict(ours)))
    s3.put_object(Bucket="state", Key=key, Body=json.dumps(theirs | {"hostname": "build-8"}))
    shell.json("state", "unlock", "--stack", "prod", "--id", ours.id)
    assert "bert@build-8" in shell.json("up", "--stack", "prod", "--yes", code=16)["message"]
    assert "bert on build-8" in shell.json("cancel", "--stack", "prod", "--yes")["cancelled"]
    assert shell.json("destroy", "--stack", "prod", "--yes")["summary"]["delete"] == 2


LOGS = """
import pulumi_aws as aws
for name in ("one", "two"):
    aws.cloudwatch.LogGroup(name, name=name)
"""


COUNT = 12


def test_what_a_killed_run_began_on_an_account_is_looked_for_or_named(well: Setting, tmp_path: Path) -> None:
    """Our plugin stands for Pulumi's own, and the local AWS for the account: nothing else knows of either."""
    shell = Shell(tmp_path, well.shell.environment | {"AWS_ENDPOINT_URL": well.running.endpoint_url})
    launcher = write_launcher(tmp_path / "plugin") / "pulumi-resource-aws"
    launcher.write_text(f"#!/bin/sh\nexport {LOCAL_URL}={well.running.endpoint_url}\n{launcher.read_text()}")
    (tmp_path / "cloudmodel.yaml").write_text("version: 1\nname: logs\nmodel: {source: digits.onnx}\n")
    plugins = {"providers": [{"name": "aws", "path": str(launcher.parent)}]}
    description = {"name": "logs", "runtime": "python", "backend": {"url": well.backend}, "plugins": plugins}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps(description))
    (tmp_path / "__main__.py").write_text(LOGS.replace(', "two"', ","))
    well.stack("prod")
    shutil.copy(well.shell.folder / "Pulumi.prod.yaml", tmp_path)
    shell.json("up", "--stack", "prod", "--yes")

    # Killed while it made the second one, and something that only another provider knows.
    s3, key = well.cloud.client("s3"), ".pulumi/stacks/logs/prod.json"
    document = json.loads(s3.get_object(Bucket="state", Key=key)["Body"].read())
    latest = document["checkpoint"]["latest"]
    (one,) = [each for each in latest["resources"] if each["type"] == "aws:cloudwatch/logGroup:LogGroup"]
    two = {**one, "urn": one["urn"].replace("::one", "::two"), "inputs": {**one["inputs"], "name": "two"}}
    two = {name: value for name, value in two.items() if name not in ("id", "outputs")}
    foreign = {**two, "urn": two["urn"].replace("aws:cloudwatch/logGroup:LogGroup", "a:b:C"), "type": "a:b:C"}

    def pending(*entries: Any) -> None:
        latest["pending_operations"] = [{"resource": each, "type": "creating"} for each in entries]
        s3.put_object(Bucket="state", Key=key, Body=json.dumps(document))

    pending(two, foreign)
    told = shell.json("up", "--stack", "prod", "--yes", code=4)
    assert "aws:cloudwatch/logGroup:LogGroup 'two', a:b:C 'two'" in told["message"]
    assert "pulumi refresh --stack prod" in told["hint"] and "--clear-pending-creates" in told["hint"]

    pending(two)
    logs = well.cloud.client("logs")
    logs.create_log_group(logGroupName="two")
    (tmp_path / "__main__.py").write_text(LOGS)
    done = shell.json("up", "--stack", "prod", "--yes")
    assert any("interrupted" in each for each in done["warnings"]) and not done["summary"]["create"]
    assert [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]] == ["one", "two"]

    # The credentials end in the middle: neither the state nor the locks can be written any more.
    (tmp_path / "__main__.py").write_text(chain(COUNT))
    job = shell.start("up", "--stack", "prod", "--yes", "--json")
    lines_until(job, "logs-01 created")
    order_faults(well.running, {"service": "s3", **EXPIRED})
    told = json.loads(job.communicate()[0])
    assert (job.returncode, told["runbook"]) == (3, "docs/runbooks/expired-credentials.md")
    order_faults(well.running)
    assert "cancel" in shell.json("up", "--stack", "prod", "--yes", code=16)["hint"]
    shell.json("cancel", "--stack", "prod", "--yes")
    shell.json("up", "--stack", "prod", "--yes")
    made = [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]]
    assert made == [f"logs-{number:02}" for number in range(COUNT)]
    shell.json("up", "--stack", "prod", "--yes", "--expect-no-changes")


def no_bucket(setting: Setting) -> dict[str, str]:
    return {"PULUMI_BACKEND_URL": setting.backend.replace("//state", "//nowhere")}


def denied(setting: Setting) -> dict[str, str]:
    order_faults(setting.running, {"service": "s3", "status": 403, "code": "AccessDenied"})
    return {}


def key_denied(setting: Setting) -> dict[str, str]:
    order_faults(setting.running, {"service": "kms", "code": "AccessDeniedException", "message": "not authorized"})
    return {}


def another_key(setting: Setting) -> dict[str, str]:
    setting.stack("bad", key="alias/another")
    return {}


ROWS = [
    ("no such bucket", no_bucket, 2, ["bucket of the state does not exist", "cloudmodel bootstrap"]),
    ("a bucket that refuses", denied, 3, ["AccessDenied", "aws sts get-caller-identity"]),
    ("a key that refuses", key_denied, 3, ["not authorized", "secretsprovider", "kms:Decrypt"]),
    ("a key that is not there", another_key, 3, ["alias/another", "secretsprovider"]),
]


@pytest.mark.parametrize(("what", "spoil", "code", "fragments"), ROWS, ids=[row[0] for row in ROWS])
def test_what_the_bucket_and_the_key_refuse_is_said(
    well: Setting, what: str, spoil: Any, code: int, fragments: list[str]
) -> None:
    well.stack("bad")
    shell = Shell(well.shell.folder, well.shell.environment | spoil(well))
    answer = shell.json("preview", "--stack", "bad", code=code)
    for fragment in fragments:
        assert fragment in json.dumps(answer), answer
