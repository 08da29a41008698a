"""Asks terraform's AWS provider what forces a replacement, and writes its answers to tests/judges/replace_paths.json.

`make replace-paths`. For each property a resource of its own stands on a local AWS, applied by terraform; then one plan
changes that one property of each. Needs terraform and the mirror that `CLOUDMODEL_TERRAFORM_MIRROR` names.
"""

from __future__ import annotations

import datetime
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud import Cloud
from cloudmodel.localaws import server
from terraform import VARIABLE, VERSION, Terraform, mirror, resource_type, terraform_form

ROOT = Path(__file__).parent.parent
CHANGES = ROOT / "tests/judges/replace_changes.json"
ANSWERS = ROOT / "tests/judges/replace_paths.json"
REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CODE = b"""
def model_fn(model_dir): return 1
def input_fn(data, content_type): return data
def predict_fn(data, model): return model
def output_fn(prediction, accept): return str(prediction), "application/json"
"""


def furnish(cloud: Cloud) -> dict[str, str]:
    """What the resources refer to, made with boto3; the names by which the changes speak of it."""
    iam, s3, sagemaker = cloud.client("iam"), cloud.client("s3"), cloud.client("sagemaker")
    role = ""
    for name in ("one", "two"):
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        s3.create_bucket(Bucket=f"bucket-{name}")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(CODE)
        tar.addfile(member, io.BytesIO(CODE))
    s3.put_object(Bucket="bucket-one", Key="model.tar.gz", Body=packed.getvalue())
    container = {"Image": "image", "ModelDataUrl": "s3://bucket-one/model.tar.gz"}
    sagemaker.create_model(ModelName="model", ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {"VariantName": "main", "ModelName": "model", "InstanceType": "ml.c7i.large", "InitialInstanceCount": 1}
    for name in ("one", "two"):
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="one")
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    cloud.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/one/variant/main",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    made = {"ROLE": role, "ROLE2": role.replace("/two", "/one")}
    for name in ("", "2"):
        allowed = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        )
        made[f"POLICY{name}"] = iam.create_policy(PolicyName=f"policy{name}", PolicyDocument=allowed)["Policy"]["Arn"]
        made[f"TOPIC{name}"] = cloud.client("sns").create_topic(Name=f"topic{name}")["TopicArn"]
        made[f"VPC{name}"] = cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        key = cloud.client("kms").create_key()["KeyMetadata"]
        made |= {f"KEY{name}": key["Arn"], f"KEYID{name}": key["KeyId"]}
    return made


def filled(value: Any, words: dict[str, str]) -> Any:
    """`value` with every {WORD} in its text replaced."""
    text = json.dumps(value)
    for word, meaning in words.items():
        text = text.replace("{" + word + "}", meaning)
    return json.loads(text)


def without_nulls(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value is not None}


def known(schema: Mapping[str, Any]) -> set[str]:
    return {*schema["attributes"], *schema.get("block_types", {})}


def ask(terraform: Terraform, words: dict[str, str]) -> dict[str, Any]:
    """By type and property: what the provider plans (`replace`, `update` or `none`); resources that failed apart."""
    answers: dict[str, Any] = {"types": {}, "not_applied": [], "unknown_to_provider": []}
    before: dict[str, dict[str, Any]] = {}
    after: dict[str, dict[str, Any]] = {}
    asked: dict[str, tuple[str, str]] = {}
    for token, rows in json.loads(CHANGES.read_text()).items():
        kind = resource_type(token)
        schema = terraform.schemas[kind]
        for number, (name, row) in enumerate(rows["changes"].items()):
            label = f"{kind}-{number}".replace("_", "-").removeprefix("aws-")
            own = words | {"NAME": label}
            base = filled(rows["base"] | row.get("before", {}), own)
            changed = base | filled({name: row["after"]} | row.get("with", {}), own)
            if not terraform_form(kind, {name: row["after"]}, schema).keys() <= known(schema):
                answers["unknown_to_provider"].append(f"{token} {name}")
                continue
            for document, inputs in ((before, base), (after, changed)):
                form = terraform_form(kind, without_nulls(inputs), schema)
                document.setdefault(kind, {})[label] = form
            asked[f"{kind}.{label}"] = token, name
    terraform.write(before)
    terraform.run("apply", "-auto-approve", "-input=false", may_fail=True)  # what failed stands in `not_applied`
    terraform.write(after)
    terraform.run("plan", "-refresh=false", "-input=false", "-out=plan")
    for change in json.loads(terraform.run("show", "-json", "plan"))["resource_changes"]:
        token, name = asked[change["address"]]
        told = change["change"]
        if told["actions"] == ["create"] or change.get("action_reason") == "replace_because_tainted":
            answers["not_applied"].append(f"{token} {name}")
            continue
        verdict = "replace" if told.get("replace_paths") else "none" if told["actions"] == ["no-op"] else "update"
        answers["types"].setdefault(token, {})[name] = verdict
    return answers


def main() -> None:
    found = mirror()
    if not found:
        sys.exit(f"no terraform here, or {VARIABLE} names no mirror that holds its AWS provider")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "local")
        running = server.start(home, region=REGION, max_workers=16)
        try:
            words = furnish(Cloud(running.endpoint_url, REGION))
            for name in ("FILE", "FILE2"):
                Path(folder, name).write_text(name)
                words[name] = str(Path(folder, name))
            place = Path(folder, "terraform")
            place.mkdir()
            answers = ask(Terraform(place, found, running.endpoint_url), words)
        finally:
            server.stop(home)
    head = {"asked": datetime.datetime.now(datetime.UTC).date().isoformat(), "provider": f"hashicorp/aws {VERSION}"}
    ANSWERS.write_text(json.dumps(head | answers, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
