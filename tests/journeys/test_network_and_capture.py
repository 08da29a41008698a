"""A platform's subnets and key are used, what the container may reach is closed, and what it answers is captured."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import yaml

from cloud import Cloud
from shell import Shell

GROUP_RULE = {"FromPort": 443, "ToPort": 443, "IpProtocol": "tcp"}


def settings(shell: Shell, **ours: Any) -> None:
    config = {"aws:region": "us-east-1", "cloudmodel:target": "local"}
    document = {"config": config | {f"cloudmodel:{name}": value for name, value in ours.items()}}
    (shell.folder / "Pulumi.local.yaml").write_text(yaml.safe_dump(document))


def records(s3: Any, bucket: str, patience: float = 120) -> list[tuple[str, dict[str, Any]]]:
    """Each captured record with the key of its file, once there is one."""
    deadline, pause = time.monotonic() + patience, threading.Event()
    while not (found := s3.list_objects_v2(Bucket=bucket, Prefix="capture/").get("Contents")):
        assert time.monotonic() < deadline, "nothing was captured"
        pause.wait(0.1)
    texts = ((each["Key"], s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read().decode()) for each in found)
    return [(key, json.loads(line)) for key, text in texts for line in text.splitlines()]


def test_a_closed_endpoint_in_the_platforms_network_captures_what_it_answers(digits: Shell) -> None:
    cloud = Cloud(digits.json("local", "start")["endpoint_url"], "us-east-1")
    ec2, sagemaker, s3 = cloud.client("ec2"), cloud.client("sagemaker"), cloud.client("s3")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in range(2)
    ]
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    settings(
        digits,
        network={"vpc": vpc, "subnets": subnets},
        encryption={"key": key},
        capture={"percent": 100, "retention_days": 7},
    )
    made = digits.json("up", "--stack", "local", "--yes")
    assert made["warnings"] == []

    (model,) = sagemaker.list_models()["Models"]
    described = sagemaker.describe_model(ModelName=model["ModelName"])
    assert described["EnableNetworkIsolation"] is True
    assert sorted(described["VpcConfig"]["Subnets"]) == sorted(subnets)
    (group,) = ec2.describe_security_groups(GroupIds=described["VpcConfig"]["SecurityGroupIds"])["SecurityGroups"]
    assert (group["VpcId"], group["IpPermissions"]) == (vpc, [])
    (rule,) = group["IpPermissionsEgress"]
    assert {name: rule[name] for name in GROUP_RULE} == GROUP_RULE
    lists = ec2.describe_managed_prefix_lists(PrefixListIds=[each["PrefixListId"] for each in rule["PrefixListIds"]])
    assert [each["PrefixListName"] for each in lists["PrefixLists"]] == ["com.amazonaws.us-east-1.s3"]
    endpoint = sagemaker.describe_endpoint(EndpointName="digits-local")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    assert (config["KmsKeyId"], config["DataCaptureConfig"]["KmsKeyId"]) == (key, key)

    body = {"inputs": {"image": [[[[0.0] * 8] * 8]]}}
    answer = (
        cloud.client("sagemaker-runtime")
        .invoke_endpoint(EndpointName="digits-local", ContentType="application/json", Body=json.dumps(body))["Body"]
        .read()
    )
    bucket = made["outputs"]["bundle_uri"].split("/")[2]
    # `up` asked the endpoint for the bundle's golden answer, which was captured as well.
    ((place, record),) = [
        each for each in records(s3, bucket) if each[1]["captureData"]["endpointInput"]["data"] == json.dumps(body)
    ]
    assert place.startswith("capture/digits-local/main/")
    assert json.loads(record["captureData"]["endpointInput"]["data"]) == body
    assert record["captureData"]["endpointOutput"]["data"] == answer.decode()
    assert s3.head_object(Bucket=bucket, Key=place)["SSEKMSKeyId"] == key
    rules = {each["ID"]: each for each in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["expire-capture"]["Expiration"] == {"Days": 7}
    assert digits.run("up", "--stack", "local", "--yes", "--expect-no-changes").returncode == 0

    settings(digits, network={"subnets": [subnets[0], "subnet-nowhere"], "security_groups": [group["GroupId"]]})
    refused = digits.json("up", "--stack", "local", "--yes", code=10)
    assert "subnet-nowhere" in refused["message"]
    settings(digits, instance="ml.g5.xlarge", network={"vpc": vpc, "subnets": subnets[:1]})
    told = digits.json("preview", "--stack", "local")["warnings"]
    assert [word for word in ("NVMe", "availability zone") if any(word in each for each in told)] == [
        "NVMe",
        "availability zone",
    ]

    assert digits.run("destroy", "--stack", "local", "--yes").returncode == 0
    left = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    assert [each["GroupName"] for each in left] == ["default"]
    assert cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
