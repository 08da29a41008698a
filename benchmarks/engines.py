"""Both engines and terraform on the same resources and the same local AWS: create, no-op, one property, destroy.

    CLOUDMODEL_TERRAFORM_MIRROR=FOLDER python benchmarks/engines.py [ENDPOINTS ...]     (1 10 50 where none are given)

One table of resources becomes the program and terraform's configuration: for each endpoint a role with its policy, a
log group, a model, an endpoint configuration, the endpoint, a scalable target with its policy, two alarms; and one
bucket with the model's archive. The local AWS starts no worker, so that the engines and their providers are measured.
Rounds go round the three in turn. Each step is a command of its own, as a user types it: `cloudmodel up --yes`, which
is a preview and the update, and `terraform apply -auto-approve`, which is a refresh, a plan and the changes.

Bounds: the embedded no-op at least 3 times faster than terraform's; its create never slower than the official engine's.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import CLOUDMODEL, machine, run, verdict
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT
from tree import Measured, watched

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "support"))

from terraform import Terraform, mirror, resource_type, terraform_form  # noqa: E402  (the tests' own way to terraform)

SIZES = (1, 10, 50)
ROUNDS = 3
REGION = "us-east-1"
FASTER = 3.0
STEPS = ("create", "no-op", "one property", "destroy")
PROGRAM = """
import json
from pathlib import Path

import pulumi

made = {}
for name, token, inputs, needs in json.loads(Path(f"{pulumi.get_stack()}.json").read_text()):
    if "source" in inputs:
        inputs["source"] = pulumi.FileAsset(inputs["source"])
    needed = pulumi.ResourceOptions(depends_on=[made[each] for each in needs])
    made[name] = pulumi.CustomResource(token, name, inputs, needed)
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
READ = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}

Row = tuple[str, str, dict[str, Any], list[str]]
"""Name, type token, inputs under their wire names, names of what it needs."""


def table(owner: str, endpoints: int, archive: Path, threshold: int) -> list[Row]:
    """The resources of `owner`; `threshold` is the one property that changes."""
    bucket, key = f"{owner}-models-{ACCOUNT}", "model.tar.gz"
    rows: list[Row] = [
        ("bucket", "aws:s3/bucket:Bucket", {"bucket": bucket}, []),
        ("model-data", "aws:s3/bucketObjectv2:BucketObjectv2",
         {"bucket": bucket, "key": key, "source": str(archive)}, ["bucket"]),
    ]  # fmt: skip
    for number in range(endpoints):
        rows += _endpoint(f"{owner}-{number}", f"s3://{bucket}/{key}", threshold if number == 0 else 5)
    return rows


def _endpoint(name: str, data: str, threshold: int) -> list[Row]:
    role = {"name": name, "assumeRolePolicy": json.dumps(TRUST)}
    arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    container = {"image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/serving:1", "modelDataUrl": data}
    variant = {
        "variantName": "main",
        "modelName": name,
        "instanceType": "ml.c7i.large",
        "initialInstanceCount": 1,
        "initialVariantWeight": 1,
    }
    scaled = {
        "serviceNamespace": "sagemaker",
        "scalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "resourceId": f"endpoint/{name}/variant/main",
    }
    tracking = {
        "targetValue": 1000,
        "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    alarm = {
        "namespace": "AWS/SageMaker",
        "statistic": "Sum",
        "period": 60,
        "evaluationPeriods": 5,
        "comparisonOperator": "GreaterThanThreshold",
        "dimensions": {"EndpointName": name, "VariantName": "main"},
    }
    model = {"name": name, "executionRoleArn": arn, "primaryContainer": container, "enableNetworkIsolation": True}
    tags = {"tags": {"owner": name}}
    return [
        (f"role-{name}", "aws:iam/role:Role", role | tags, []),
        (
            f"role-policy-{name}",
            "aws:iam/rolePolicy:RolePolicy",
            {"name": name, "role": name, "policy": json.dumps(READ)},
            [f"role-{name}"],
        ),
        (
            f"logs-{name}",
            "aws:cloudwatch/logGroup:LogGroup",
            {"name": f"/aws/sagemaker/Endpoints/{name}", "retentionInDays": 30} | tags,
            [],
        ),
        (f"model-{name}", "aws:sagemaker/model:Model", model | tags, [f"role-policy-{name}", "model-data"]),
        (
            f"configuration-{name}",
            "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            {"name": name, "productionVariants": [variant]} | tags,
            [f"model-{name}"],
        ),
        (
            f"endpoint-{name}",
            "aws:sagemaker/endpoint:Endpoint",
            {"name": name, "endpointConfigName": name} | tags,
            [f"configuration-{name}", f"logs-{name}"],
        ),
        (
            f"target-{name}",
            "aws:appautoscaling/target:Target",
            scaled | {"minCapacity": 1, "maxCapacity": 4},
            [f"endpoint-{name}"],
        ),
        (
            f"policy-{name}",
            "aws:appautoscaling/policy:Policy",
            scaled
            | {
                "name": name,
                "policyType": "TargetTrackingScaling",
                "targetTrackingScalingPolicyConfiguration": tracking,
            },
            [f"target-{name}"],
        ),
        *(
            (
                f"alarm-{metric}-{name}",
                "aws:cloudwatch/metricAlarm:MetricAlarm",
                alarm | {"name": f"{name}-{metric}", "metricName": metric, "threshold": limit} | tags,
                [],
            )
            for metric, limit in (("Invocation5XXErrors", threshold), ("Invocation4XXErrors", 5))
        ),
    ]


def configuration(rows: list[Row], terraform: Terraform) -> dict[str, dict[str, Any]]:
    """The same in terraform's form."""
    places = {name: f"{resource_type(token)}.{name}" for name, token, _, _ in rows}
    found: dict[str, dict[str, Any]] = {}
    for name, token, inputs, needs in rows:
        kind = resource_type(token)
        form = terraform_form(kind, inputs, terraform.schemas[kind])
        found.setdefault(kind, {})[name] = form | ({"depends_on": [places[each] for each in needs]} if needs else {})
    return found


class Contender:
    """One of the three: how it is told of the resources, and its commands."""

    def __init__(
        self, name: str, tell: Callable[[list[Row]], object], apply: list[str], destroy: list[str], **more: Any
    ) -> None:
        self.name = name
        self._tell = tell
        self._apply, self._destroy, self._more = apply, destroy, more
        self.taken: dict[str, list[Measured]] = {step: [] for step in STEPS}

    def round(self, endpoints: int, archive: Path) -> None:
        """Its whole life, each step measured."""
        for step in STEPS:
            self._tell(table(self.name, endpoints, archive, 7 if step == "one property" else 5))
            command = self._destroy if step == "destroy" else self._apply
            self.taken[step].append(watched(command, **self._more))


def contenders(folder: Path, place: Terraform) -> list[Contender]:
    """Two stacks of the project in `folder`, and terraform."""

    def tells(stack: str) -> Callable[[list[Row]], object]:
        return lambda rows: (folder / f"{stack}.json").write_text(json.dumps(rows))

    found = []
    for name in ("embedded", "official"):
        common = ["--stack", name, "--yes", "--engine", name]
        ours = [CLOUDMODEL, "-C", str(folder)]
        found.append(Contender(name, tells(name), [*ours, "up", *common], [*ours, "destroy", *common]))
    found.append(
        Contender(
            "terraform",
            lambda rows: place.write(configuration(rows, place)),
            ["terraform", "apply", "-auto-approve", "-input=false"],
            ["terraform", "destroy", "-auto-approve", "-input=false"],
            cwd=place.folder,
            env=place.environment,
        )
    )
    return found


def main() -> None:
    """Measure each size, and judge."""
    sizes = [int(each) for each in sys.argv[1:]] or SIZES
    found = mirror()
    if not found:
        sys.exit("no terraform here, or CLOUDMODEL_TERRAFORM_MIRROR names no mirror that holds its AWS provider")
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory(prefix="cloudmodel-bench-") as scratch:
        folder = Path(scratch) / "bench"
        run("init", str(folder), "--template", "blank", "--name", "bench")
        (folder / "__main__.py").write_text(PROGRAM)
        settings = (folder / "Pulumi.local.yaml").read_text()
        for stack in ("embedded", "official"):
            (folder / f"Pulumi.{stack}.yaml").write_text(settings)
        archive = Path(scratch) / "model.tar.gz"
        archive.write_bytes(_archive())
        home = folder / ".cloudmodel" / "local"
        home.parent.mkdir(mode=0o700, exist_ok=True)
        cloud = server.start(home, region=REGION, options=["--without-workers"])
        try:
            place = Path(scratch) / "terraform"
            place.mkdir()
            terraform = Terraform(place, found, cloud.endpoint_url)
            for size in sizes:
                compare(size, contenders(folder, terraform), archive)
        finally:
            server.stop(home)
    print(f"\n{machine()}")


def compare(endpoints: int, those: list[Contender], archive: Path) -> None:
    """All rounds of one size, in turn; prints the table and whether the bounds hold."""
    for number in range(ROUNDS):
        for each in those:
            each.round(endpoints, archive)
            seconds = ", ".join(f"{step} {each.taken[step][-1].wall:.1f} s" for step in STEPS)
            print(f"  round {number + 1}, {each.name}: {seconds}", flush=True)  # a run that is cut off has said this
    rows = len(table("x", endpoints, archive, 5))
    print(f"\n{endpoints} endpoints, {rows} resources, medians of {ROUNDS} rounds: wall s [range], CPU s, peak MB")
    for step in STEPS:
        for each in those:
            print(f"  {step:13} {each.name:10} {Measured.row(each.taken[step])}")
    embedded, official, terraform = ({step: Measured.wall_of(each.taken[step]) for step in STEPS} for each in those)
    ratio = terraform["no-op"] / embedded["no-op"]
    print(f"  no-op, terraform / embedded = {ratio:.1f}, wanted {FASTER:g}: {verdict(ratio >= FASTER)}")
    slower = embedded["create"] / official["create"]
    print(f"  create, embedded / official = {slower:.2f}, at most 1: {verdict(slower <= 1)}", flush=True)


def _archive() -> bytes:
    """A model that nobody loads."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("model.onnx")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    return packed.getvalue()


if __name__ == "__main__":
    main()
