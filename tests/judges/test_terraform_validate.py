"""Terraform's AWS provider judges every planned resource: names, required properties, enums, patterns and ranges."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import pytest

from cloudmodel.bundle import store
from cloudmodel.operate.bootstrap import goals
from cloudmodel.operate.bootstrap.setup import GITHUB, GITLAB, Setup, pipeline
from cloudmodel.settings.model import Existing
from terraform import Terraform

pytestmark = pytest.mark.terraform

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/team/serving@sha256:" + "0" * 64

STACKS: dict[str, dict[str, Any]] = {
    "reference": {},
    "aws": {
        "target": "aws",
        "aws:region": "us-east-1",
        "aws:allowedAccountIds": [ACCOUNT],
        "existing": {"image": IMAGE},
    },
    "china": {"aws:region": "cn-north-1"},
    "government": {"aws:region": "us-gov-west-1"},
    "existing": {"existing": {"role": ROLE, "key": KEY, "bucket": "acme-models", "name_prefix": "acme"}},
    "boundary": {"existing": {"boundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary"}},
    "own-key": {"encryption": {"key": KEY}},
    "notify": {"alarms": {"notify": ["a@example.com", f"arn:aws:sns:us-east-1:{ACCOUNT}:pager"]}},
    "thresholds": {"alarms": {"error_rate": 2, "p99_ms": 250, "saturation": 80}},
    "environment": {"environment": {"A": "", "OMP_NUM_THREADS": "1", "TEMPLATE": "${not} %{one}"}},
    "timeouts": {"timeouts": {"startup": 3600, "download": 60}},
    "protect": {"protect": True},
    "fixed": {"scaling": {"min": 2, "max": 2}},
    "concurrency": {"scaling": {"min": 1, "max": 7, "metric": "concurrency"}},
    "cooldowns": {"scaling": {"min": 2, "max": 9, "scale_in_cooldown": 7, "scale_out_cooldown": 8}},
    "schedule": {
        "scaling": {
            "min": 2,
            "max": 2,
            "schedule": [
                {"name": "day", "when": "cron(0 7 ? * MON-FRI *)", "timezone": "Europe/Berlin", "min": 1, "max": 9},
                {"name": "night", "when": "at(2027-01-31T20:00:00)", "min": 1, "max": 1},
                {"name": "often", "when": "rate(2 hours)", "min": 1, "max": 2},
            ],
        }
    },
    "steps": {"scaling": {"min": 1, "max": 9, "steps": [{"above": 1500, "add": 1}, {"above": 2000.5, "add": 3}]}},
    "burst": {"instance": "ml.t2.medium", "scaling": {"min": 2, "max": 2}},
    "baked": {"rollout": {"bake": 3600}},
    "canary": {"rollout": {"strategy": "canary"}, "scaling": {"min": 2}},
    "canary-half": {"rollout": {"strategy": "canary", "step": 50, "bake": 0}, "scaling": {"min": 2}},
    "linear": {
        "rollout": {"strategy": "linear", "step": 10, "bake": 1260, "rollback_on": ["errors", "of another team"]},
        "scaling": {"min": 2},
    },
    "rolling": {"rollout": {"strategy": "rolling", "step": 5, "bake": 630}, "scaling": {"min": 2}},
    "unwatched": {"rollout": {"strategy": "rolling", "rollback_on": []}, "scaling": {"min": 2}},
    "nvme": {"instance": "ml.c5d.large"},
    "gpu": {"instance": "ml.g5.12xlarge"},
    "arm": {"instance": "ml.c8g.medium"},
    "online": {"network": {"isolation": False}},
    "vpc": {"network": {"vpc": "vpc-0a1b2c3d", "subnets": ["subnet-1", "subnet-2"]}},
    "vpc-online": {"network": {"vpc": "vpc-0a1b2c3d", "subnets": ["subnet-1"], "isolation": False}},
    "vpc-groups": {"network": {"subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1", "sg-2"]}},
    "capture": {"capture": {"percent": 25, "retention_days": 7}},
    "capture-existing": {"capture": {"percent": 100}, "existing": {"key": KEY, "bucket": "acme-models"}},
    "variants": {
        "variants": [
            {"name": "main", "weight": 90},
            {"name": "arm", "weight": 9.5, "instance": "ml.c7g.large", "scaling": {"min": 2, "max": 2}},
            {
                "name": "gpu",
                "weight": 0,
                "instance": "ml.g5.xlarge",
                "scaling": {"min": 1, "max": 9, "steps": [{"above": 2e3, "add": 1}]},
            },
        ],
        "rollout": {"bake": 300},
    },
    "serverless": {"mode": "serverless"},
    "serverless-warm": {
        "mode": "serverless",
        "serverless": {"memory": 6144, "max_concurrency": 9, "provisioned": 1, "provisioned_max": 3},
    },
    "async": {"mode": "async"},
    "async-to-zero": {
        "mode": "async",
        "scaling": {"min": 0, "max": 4, "target": 2},
        "asynchronous": {"max_concurrent": 4, "success_topic": "create", "error_topic": "create", "prefix": "q"},
    },
    "async-existing": {
        "mode": "async",
        "asynchronous": {"bucket": "acme-requests", "error_topic": f"arn:aws:sns:us-east-1:{ACCOUNT}:pager"},
    },
    "tags": {"tags": {"cost center": "a=b+c@d", "owner": "vision"}},
}
"""Every setting that changes what is planned, each on the reference stack."""
OF_A_BUNDLE = ("aws:sagemaker/model:Model", "aws:s3/bucketObjectv2:BucketObjectv2", "aws:iam/rolePolicy:RolePolicy")
"""What differs where a bundle is so large that it lies in S3 as its files."""
PIPELINES = (pipeline(GITHUB, "acme/digits", "production", "main"), pipeline(GITLAB, "acme/digits", "any", "main"))
SETUPS = (
    Setup("digits", ACCOUNT, "us-east-1", Existing(), PIPELINES),
    Setup("d" * 31, ACCOUNT, "us-east-1", Existing(role=ROLE, key=KEY, bucket="acme-models", name_prefix="p" * 20)),
)
"""What `bootstrap` makes before any stack."""
NEWER_TYPES = frozenset({"ml.c8g.medium"})
"""Instance types that came after provider 5.100: it refuses them, botocore's list of SageMaker's own types has them."""


def test_every_planned_resource_passes_the_providers_own_checks(
    evaluate: Any, bundle: Any, terraform: Terraform, monkeypatch: pytest.MonkeyPatch
) -> None:
    STACKS["aws"]["bundle"] = bundle()
    planned = [
        (each.type, f"{stack}__{each.name}", each.inputs)
        for stack, settings in STACKS.items()
        for each in evaluate(stack, **settings).resources
        if each.type.startswith("aws:")
    ]
    assert len(planned) > 17 * len(STACKS)
    monkeypatch.setattr(store, "LARGE", 0)
    bundle({"model.onnx": b"weights", "code/inference.py": b"code"})
    large = [
        (each.type, f"large__{each.name}", each.inputs) for each in evaluate().resources if each.type in OF_A_BUNDLE
    ]
    assert [name for type, name, inputs in large if "modelDataSource" in inputs.get("primaryContainer", {})]
    planned += large
    planned += [
        (goal.type, f"bootstrap{number}__{goal.name}", goal.inputs)
        for number, setup in enumerate(SETUPS)
        for goal in (goals.key(setup), *goals.others(setup, KEY))
    ]
    told = terraform.complaints(planned)
    refused = {each.rsplit("got ", 1)[1].strip() for each in told if "expected instance_type to be one of" in each}
    assert [each for each in told if "expected instance_type to be one of" not in each] == []
    assert refused == NEWER_TYPES


def test_the_instance_types_that_the_provider_is_too_old_for_are_awss() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    assert set(model.shape_for("ProductionVariantInstanceType").enum) >= NEWER_TYPES


GOOD: dict[str, dict[str, Any]] = {
    "aws:sagemaker/endpoint:Endpoint": {"name": "digits", "endpointConfigName": "digits"},
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": {
        "productionVariants": [{"modelName": "digits", "instanceType": "ml.c7i.large", "initialInstanceCount": 1}]
    },
    "aws:sagemaker/model:Model": {"executionRoleArn": ROLE, "primaryContainer": {"image": IMAGE}},
    "aws:cloudwatch/logGroup:LogGroup": {"retentionInDays": 30},
    "aws:kms/key:Key": {"deletionWindowInDays": 30},
    "aws:appautoscaling/target:Target": {
        "maxCapacity": 2,
        "minCapacity": 1,
        "resourceId": "endpoint/digits/variant/main",
        "scalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "serviceNamespace": "sagemaker",
    },
}


def test_the_judge_is_content_with_what_is_good(terraform: Terraform) -> None:
    assert terraform.complaints((token, "good", inputs) for token, inputs in GOOD.items()) == []


def test_the_judge_says_no_to_each_kind_of_mistake(terraform: Terraform) -> None:
    variant = GOOD["aws:sagemaker/endpointConfiguration:EndpointConfiguration"]["productionVariants"][0]
    mistakes: dict[str, tuple[str, dict[str, Any], str]] = {
        "pattern": ("aws:sagemaker/endpoint:Endpoint", {"name": "under_score"}, "only alphanumeric"),
        "enum": (
            "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            {"productionVariants": [variant | {"instanceType": "ml.unheard.of"}]},
            "expected instance_type to be one of",
        ),
        "range": ("aws:kms/key:Key", {"deletionWindowInDays": 31}, "to be in the range (7 - 30)"),
        "number": ("aws:cloudwatch/logGroup:LogGroup", {"retentionInDays": 31}, "to be one of"),
        "unknown": ("aws:sagemaker/endpoint:Endpoint", {"colour": "red"}, 'named "colour"'),
        "nested": (
            "aws:sagemaker/model:Model",
            {"primaryContainer": {"image": IMAGE, "colour": "red"}},
            'named "colour"',
        ),
        "arn": ("aws:sagemaker/model:Model", {"executionRoleArn": "serving"}, "is an invalid ARN"),
        "type": ("aws:appautoscaling/target:Target", {"maxCapacity": "many"}, "number"),
    }
    planned = [(token, name, GOOD[token] | wrong) for name, (token, wrong, _) in mistakes.items()]
    missing = "aws:sagemaker/endpoint:Endpoint"
    told = terraform.complaints([*planned, (missing, "missing", {"name": "digits"})])
    said = {name: [each for each in told if re.match(rf"\S+\.{name}\b", each)] for name in (*mistakes, "missing")}
    for name, (_, _, words) in mistakes.items():
        assert any(words in each for each in said[name]), (name, said[name])
    assert any('"endpoint_config_name" is required' in each for each in said["missing"])
    assert all(len(each) == 1 for each in said.values()), said
