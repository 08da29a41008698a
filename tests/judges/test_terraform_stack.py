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

from cloud import Cloud
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.operate.bootstrap import documents
from cloudmodel.operate.bootstrap.setup import Setup
from cloudmodel.settings.model import Existing
from iam_trace import Trace, traced
from program_plans import Plan, evaluate_program
from terraform import Terraform, mirror, resource_type, terraform_form

pytestmark = pytest.mark.terraform

REGION = "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REFERENCE = re.compile(r"<((?:data\.)?\w+\.[\w-]+\.\w+)>")
PREFIXES = "aws_ec2_managed_prefix_list"
SLOW = "aws_s3_bucket_lifecycle_configuration"
"""Left out: the provider waits 50 s for it, whatever it is answered."""
UNCHANGED, CHANGES = 0, 2
"""Exit codes of `plan -detailed-exitcode`."""


def label(stack: str, name: str) -> str:
    return f"{stack}_" + re.sub(r"[^\w-]", "_", name)


class Referring(mocks.Mocks):
    """Answers with references to the very attributes, which terraform fills in. Labels begin with the stack's name."""

    def __init__(self, stack: str) -> None:
        self.stack = stack

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.typ.startswith("aws:"):
            return args.name, {"output": args.inputs.get("input")}
        place = f"{resource_type(args.typ)}.{label(self.stack, args.name)}"
        told = {"arn": f"<{place}.arn>"} | ({"keyId": f"<{place}.key_id>"} if args.typ == "aws:kms/key:Key" else {})
        return f"<{place}.id>", told | args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        if args.token == "aws:ec2/getManagedPrefixList:getManagedPrefixList":
            return {"id": f"<data.{PREFIXES}.s3.id>", "name": args.args["name"]}, []
        return {"accountId": ACCOUNT, "arn": "arn", "id": ACCOUNT, "userId": "user"}, []


def as_terraform(stack: str, plan: Plan, terraform: Terraform) -> dict[str, dict[str, Any]]:
    """The planned resources in terraform's form, each after those that it needs."""
    planned = [each for each in plan.resources if each.type.startswith("aws:") and resource_type(each.type) != SLOW]
    places = {each.name: f"{resource_type(each.type)}.{label(stack, each.name)}" for each in planned}
    found: dict[str, dict[str, Any]] = {}
    for each in planned:
        kind = resource_type(each.type)
        form = terraform_form(kind, each.inputs, terraform.schemas[kind])
        needed = sorted(places[name] for name in each.dependencies if name in places)
        found.setdefault(kind, {})[label(stack, each.name)] = form | ({"depends_on": needed} if needed else {})
    filled: dict[str, dict[str, Any]] = json.loads(REFERENCE.sub(r"${\1}", json.dumps(found)))
    return filled


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Running]:
    home = tmp_path / "local"
    yield server.start(home, region=REGION, options=["--without-workers"])
    server.stop(home)


@pytest.fixture
def trace(local: Running) -> Iterator[Trace]:
    with traced(local.endpoint_url) as found:
        yield found


@pytest.fixture
def applying(tmp_path: Path, trace: Trace) -> Terraform:
    folder, found = tmp_path / "terraform", mirror()
    folder.mkdir()
    assert found
    return Terraform(folder, found, trace.url)


def stacks(vpc: str, subnets: list[str], **more: Any) -> Mapping[str, Mapping[str, Any]]:
    """One stack for each mode, with every setting that makes a resource of its own; `more` is for all."""
    return {
        "local": {
            "cloudmodel:scaling": {
                "min": 1,
                "max": 4,
                "steps": [{"above": 1500, "add": 1}],
                "schedule": [
                    {"name": "night", "when": "cron(0 20 ? * * *)", "timezone": "Europe/Berlin", "min": 1, "max": 2}
                ],
            },
            "cloudmodel:alarms": {"notify": [f"arn:aws:sns:{REGION}:{ACCOUNT}:pager", "ops@example.com"]},
            "cloudmodel:variants": [{"name": "main", "weight": 90}, {"name": "next", "weight": 10}],
            "cloudmodel:network": {"vpc": vpc, "subnets": subnets},
            "cloudmodel:capture": {"percent": 10},
            **more,
        },
        "jobs": {
            "cloudmodel:mode": "async",
            "cloudmodel:scaling": {"min": 0, "max": 2},
            "cloudmodel:asynchronous": {"success_topic": "create", "error_topic": "create"},
            **more,
        },
        "small": {
            "cloudmodel:mode": "serverless",
            "cloudmodel:serverless": {"provisioned": 1, "provisioned_max": 3},
            **more,
        },
    }


def allowed(*documents: str) -> set[str]:
    """The actions of policies."""
    return {
        action
        for document in documents
        for statement in json.loads(document)["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }


def test_stacks_that_terraform_made_are_as_they_were_asked_for_and_within_what_bootstrap_allows(
    project: Path, bundle: Any, local: Running, trace: Trace, applying: Terraform
) -> None:
    """The provider's own calls are those of pulumi-aws, which is made from it: what it asks for is in the roles."""
    bundle()
    cloud = Cloud(local.endpoint_url, REGION)
    ec2 = cloud.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
    data = {PREFIXES: {"s3": {"name": f"com.amazonaws.{REGION}.s3"}}}

    def planned(**more: Any) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for stack, settings in stacks(vpc, subnets, **more).items():
            config = {"cloudmodel:target": "local", **settings}
            (project / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
            plan = evaluate_program(project, stack, cloud=Referring(stack))
            for kind, resources in as_terraform(stack, plan, applying).items():
                found.setdefault(kind, {}).update(resources)
        return found

    applying.write(planned(), data)
    applying.run("apply", "-auto-approve", "-input=false")
    stands = cloud.inventory()
    made = {"endpoints": 3, "configurations": 3, "models": 3, "targets": 4, "policies": 7, "alarms": 15}
    assert {kind: stands[kind] for kind in made} == made
    changing = trace.taken()
    again = applying.finished("plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert again.returncode == UNCHANGED, again.stdout + again.stderr
    reading = trace.taken()

    changed = {"cloudmodel:tags": {"team": "vision"}, "cloudmodel:alarms": {"p99_ms": 5}}
    applying.write(planned(**changed), data)
    assert applying.finished("plan", "-detailed-exitcode", "-input=false").returncode == CHANGES, "it sees changes"
    applying.run("apply", "-auto-approve", "-input=false")
    applying.run("destroy", "-auto-approve", "-input=false")
    assert not any(cloud.inventory()[kind] for kind in ("endpoints", "models", "targets", "policies", "buckets"))
    changing |= trace.taken()

    setup = Setup("digits", ACCOUNT, REGION, Existing())
    roles = documents.plan_policy(setup, KEY), documents.apply_policy(setup, KEY), documents.apply_changes(setup)
    plans, applies = allowed(roles[0]), allowed(roles[1], *roles[2].values())
    assert (sorted(reading - plans), sorted(changing - applies)) == ([], [])
    assert len(reading) > 30 and len(changing - reading) > 40
