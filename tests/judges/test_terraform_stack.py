"""Terraform's AWS provider makes our planned stack on the local AWS, reads it all back, and finds nothing to change:
what the local AWS answers is what that provider takes for the answers of AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime import mocks

from cloud import ONE_OF_EACH, Cloud
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT, Running
from program_plans import Plan, evaluate_program
from terraform import Terraform, mirror, resource_type, terraform_form

pytestmark = pytest.mark.terraform

REGION = "us-east-1"
REFERENCE = re.compile(r"<(\w+\.[\w-]+\.\w+)>")
SLOW = "aws_s3_bucket_lifecycle_configuration"
"""Left out: the provider waits 50 s for it, whatever it is answered."""
UNCHANGED, CHANGES = 0, 2
"""Exit codes of `plan -detailed-exitcode`."""


def label(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)


class Referring(mocks.Mocks):
    """Answers with references to the very attributes, which terraform fills in."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.typ.startswith("aws:"):
            return args.name, {"output": args.inputs.get("input")}
        place = f"{resource_type(args.typ)}.{label(args.name)}"
        told = {"arn": f"<{place}.arn>"} | ({"keyId": f"<{place}.key_id>"} if args.typ == "aws:kms/key:Key" else {})
        return f"<{place}.id>", told | args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return {"accountId": ACCOUNT, "arn": "arn", "id": ACCOUNT, "userId": "user"}, []


def as_terraform(plan: Plan, terraform: Terraform) -> dict[str, dict[str, Any]]:
    """The planned resources in terraform's form, each after those that it needs."""
    planned = [each for each in plan.resources if each.type.startswith("aws:") and resource_type(each.type) != SLOW]
    places = {each.name: f"{resource_type(each.type)}.{label(each.name)}" for each in planned}
    found: dict[str, dict[str, Any]] = {}
    for each in planned:
        kind = resource_type(each.type)
        form = terraform_form(kind, each.inputs, terraform.schemas[kind])
        needed = sorted(places[name] for name in each.dependencies if name in places)
        found.setdefault(kind, {})[label(each.name)] = form | ({"depends_on": needed} if needed else {})
    filled: dict[str, dict[str, Any]] = json.loads(REFERENCE.sub(r"${\1}", json.dumps(found)))
    return filled


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Running]:
    home = tmp_path / "local"
    yield server.start(home, region=REGION, options=["--without-workers"])
    server.stop(home)


@pytest.fixture
def applying(tmp_path: Path, local: Running) -> Terraform:
    folder, found = tmp_path / "terraform", mirror()
    folder.mkdir()
    assert found
    return Terraform(folder, found, local.endpoint_url)


SETTINGS: Mapping[str, Any] = {
    "cloudmodel:target": "local",
    "cloudmodel:scaling": {
        "min": 1,
        "max": 4,
        "steps": [{"above": 1500, "add": 1}],
        "schedule": [{"name": "night", "when": "cron(0 20 ? * * *)", "timezone": "Europe/Berlin", "min": 1, "max": 2}],
    },
    "cloudmodel:alarms": {"notify": [f"arn:aws:sns:{REGION}:{ACCOUNT}:pager"]},
}


def test_a_stack_that_terraform_made_is_as_it_was_asked_for(
    project: Path, bundle: Any, local: Running, applying: Terraform
) -> None:
    bundle()
    cloud = Cloud(local.endpoint_url, REGION)
    (project / "Pulumi.local.yaml").write_text(yaml.safe_dump({"config": SETTINGS}))
    resources = as_terraform(evaluate_program(project, "local", cloud=Referring()), applying)
    assert sum(map(len, resources.values())) > 20

    applying.write(resources)
    applying.run("apply", "-auto-approve", "-input=false")
    stands = cloud.inventory()
    assert stands == ONE_OF_EACH | {"policies": 2, "alarms": 4}
    again = applying.finished("plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert again.returncode == UNCHANGED, again.stdout + again.stderr

    resources["aws_sagemaker_endpoint"]["endpoint"]["tags"]["team"] = "vision"
    applying.write(resources)
    changed = applying.finished("plan", "-detailed-exitcode", "-input=false")
    assert changed.returncode == CHANGES, "it sees what does change"
    applying.run("destroy", "-auto-approve", "-input=false")
    assert not any(cloud.inventory()[kind] for kind in ("endpoints", "models", "targets", "policies", "buckets"))
