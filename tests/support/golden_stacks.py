"""The stacks of which tests/golden keeps a state, one a mode: their settings, and the platform that they stand on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from cloud import Cloud

REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

STACKS: Mapping[str, Callable[[Cloud, str], dict[str, Any]]] = {
    "local": lambda cloud, bundle: {},
    "serverless": lambda cloud, bundle: {
        "mode": "serverless",
        "serverless": {"memory": 1024, "max_concurrency": 4, "provisioned": 1, "provisioned_max": 3},
    },
    "async": lambda cloud, bundle: {
        "mode": "async",
        "scaling": {"min": 0, "max": 2},
        "asynchronous": {"success_topic": "create", "error_topic": "create", "max_concurrent": 2},
    },
    "variants": lambda cloud, bundle: {
        "variants": [
            {"name": "main", "weight": 90},
            {"name": "challenger", "weight": 10, "bundle": bundle, "instance": "ml.m7i.large"},
        ]
    },
    "scaled": lambda cloud, bundle: {
        "scaling": {
            "min": 2,
            "max": 6,
            "metric": "concurrency",
            "target": 4,
            "steps": [{"above": 8, "add": 1}, {"above": 16, "add": 3}],
            "schedule": [
                {"name": "morning", "when": "cron(0 7 ? * MON-FRI *)", "timezone": "Europe/Berlin", "min": 4, "max": 12}
            ],
        },
        "rollout": {"strategy": "canary", "step": 50, "bake": 600, "rollback_on": ["errors", "latency"]},
        "capture": {"percent": 50, "retention_days": 7},
        "alarms": {"error_rate": 2, "p99_ms": 250, "saturation": 80, "notify": ["on-call@example.com"]},
        "environment": {"COLOUR": "green"},
        "timeouts": {"startup": 600, "download": 600},
        "tags": {"team": "vision"},
    },
    "owned": lambda cloud, bundle: owned(cloud),
}
"""By the stack's name: what follows `cloudmodel:` in its settings, besides the target and the bundle."""


def owned(cloud: Cloud) -> dict[str, Any]:
    """A platform's network, key, role and bucket, made here."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    role = cloud.client("iam").create_role(RoleName="serving", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    cloud.client("s3").create_bucket(Bucket="acme-models")
    return {
        # Without isolation: with it the plan would hold the number of S3's addresses, which each local AWS makes up.
        "network": {"vpc": vpc, "subnets": [each["SubnetId"] for each in subnets], "isolation": False},
        "encryption": {"key": key},
        "existing": {"role": role["Arn"], "bucket": "acme-models", "name_prefix": "acme-"},
    }
