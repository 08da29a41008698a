"""The baseline of cloud security that the planned resources keep; each test names its rule (P01 to P32)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

ACCOUNT = "111122223333"
ANYWHERE = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
"""Actions for which AWS takes no other resource than *."""


def statements(document: str) -> list[dict[str, Any]]:
    found = json.loads(document)
    assert found["Version"] == "2012-10-17"
    assert all(each["Sid"].isalnum() for each in found["Statement"])
    return list(found["Statement"])


def many(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def policies(plan: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in plan.resources:
        for name in ("policy", "assumeRolePolicy"):
            if isinstance(each.inputs.get(name), str):
                for statement in statements(each.inputs[name]):
                    yield each.name, statement


def test_p01_the_container_has_no_network_unless_asked(evaluate: Any) -> None:
    assert evaluate().one("Model").inputs["enableNetworkIsolation"] is True
    assert evaluate(network={"isolation": False}).one("Model").inputs["enableNetworkIsolation"] is False


@pytest.mark.parametrize(
    ("instance", "has_key"), [("ml.c7i.large", True), ("ml.g5.xlarge", False), ("ml.c6gd.large", False)]
)
def test_p04_disks_are_encrypted_where_the_type_takes_a_key(evaluate: Any, instance: str, has_key: bool) -> None:
    plan = evaluate(instance=instance)
    assert ("kmsKeyArn" in plan.one("EndpointConfiguration").inputs) == has_key
    grants = [each for _, each in policies(plan) if "kms:CreateGrant" in many(each["Action"])]
    assert bool(grants) == has_key
    for grant in grants:  # P28
        assert grant["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
        assert grant["Condition"]["StringEquals"]["kms:ViaService"] == [
            "ec2.us-east-1.amazonaws.com",
            "sagemaker.us-east-1.amazonaws.com",
        ]


def test_p06_scaling_is_registered_with_bounds(evaluate: Any) -> None:
    target = evaluate(scaling={"min": 2, "max": 4}).one("Target").inputs
    assert (target["minCapacity"], target["maxCapacity"]) == (2, 4)
    assert target["serviceNamespace"] == "sagemaker"
    assert target["scalableDimension"] == "sagemaker:variant:DesiredInstanceCount"


def test_p10_a_platform_image_is_taken_as_it_is_pinned(evaluate: Any) -> None:
    image = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/team/serving@sha256:" + "0" * 64
    plan = evaluate(existing={"image": image})
    assert plan.one("Model").inputs["primaryContainer"]["image"] == image
    (pull,) = [each for _, each in policies(plan) if "ecr:BatchGetImage" in many(each["Action"])]
    assert pull["Resource"] == f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/team/serving"


def test_p14_alarms_watch_errors_latency_and_saturation(evaluate: Any) -> None:
    alarms = {each.inputs["name"]: each.inputs for each in evaluate().of("MetricAlarm")}
    assert sorted(alarms) == ["digits-local-errors", "digits-local-latency", "digits-local-saturation"]
    for alarm in alarms.values():
        assert alarm["alarmActions"] == [f"arn:aws:made:us-east-1:{ACCOUNT}:topic"]
        assert alarm["treatMissingData"] == "notBreaching"
        assert alarm["comparisonOperator"] == "GreaterThanThreshold"


@pytest.mark.parametrize(("protect", "days"), [(False, 30), (True, 365)])
def test_p15_the_log_group_ends_and_is_encrypted(evaluate: Any, protect: bool, days: int) -> None:
    logs = evaluate(protect=protect).one("LogGroup").inputs
    assert logs["name"] == "/aws/sagemaker/Endpoints/digits-local"
    assert logs["retentionInDays"] == days
    assert logs["kmsKeyId"] == f"arn:aws:made:us-east-1:{ACCOUNT}:key"


def test_p16_public_access_is_blocked_in_all_four_ways(evaluate: Any) -> None:
    blocked = evaluate().one("BucketPublicAccessBlock").inputs
    names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert [blocked[name] for name in names] == [True] * 4


def test_p17_the_bucket_is_reached_with_tls_only(evaluate: Any) -> None:
    (denied,) = statements(evaluate().one("BucketPolicy").inputs["policy"])
    bucket = f"arn:aws:s3:::digits-local-{ACCOUNT}-us-east-1"
    assert denied == {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, f"{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_p18_the_bucket_keeps_versions(evaluate: Any) -> None:
    assert evaluate().one("BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}


def test_p19_objects_are_encrypted_with_the_stacks_key(evaluate: Any) -> None:
    plan = evaluate()
    key = f"arn:aws:made:us-east-1:{ACCOUNT}:key"
    (rule,) = plan.one("BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule == {
        "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key},
        "bucketKeyEnabled": True,
    }
    bundle = plan.one("BucketObjectv2").inputs
    assert (bundle["serverSideEncryption"], bundle["kmsKeyId"]) == ("aws:kms", key)


def test_p20_old_versions_and_broken_uploads_end_and_acls_are_off(evaluate: Any) -> None:
    plan = evaluate()
    rules = {rule["id"]: rule for rule in plan.one("BucketLifecycleConfiguration").inputs["rules"]}
    assert rules["abort-uploads"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    assert rules["expire-old-versions"]["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert plan.one("BucketOwnershipControls").inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


def test_p21_nobody_is_allowed_by_a_wildcard_principal(evaluate: Any) -> None:
    for name, statement in policies(evaluate()):
        if statement["Effect"] == "Allow":
            principals = [each for value in statement.get("Principal", {}).values() for each in many(value)]
            assert "*" not in principals, name


def test_p22_the_key_rotates_and_waits_thirty_days(evaluate: Any) -> None:
    key = evaluate().one("Key").inputs
    assert key["enableKeyRotation"] is True
    assert key["deletionWindowInDays"] == 30
    by_name = {each["Sid"]: each for each in statements(key["policy"])}
    assert by_name["Account"]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert by_name["Logs"]["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert by_name["Logs"]["Condition"] == {
        "ArnEquals": {
            "kms:EncryptionContext:aws:logs:arn": (
                f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/digits-local"
            )
        }
    }
    assert by_name["Alarms"]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_p23_p24_the_role_may_do_what_serving_needs_and_no_more(evaluate: Any) -> None:
    allowed = {
        action: many(statement["Resource"])
        for statement in statements(evaluate().one("RolePolicy").inputs["policy"])
        for action in many(statement["Action"])
    }
    key = f"arn:aws:made:us-east-1:{ACCOUNT}:key"
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/digits-local"
    repository = "arn:aws:ecr:us-east-1:763104351884:repository/pytorch-inference"
    logs = [group, f"{group}:*"]
    assert allowed == {
        "s3:GetObject": [f"arn:aws:s3:::digits-local-{ACCOUNT}-us-east-1/bundles/sha256/*"],
        "kms:Decrypt": [key],
        "kms:DescribeKey": [key],
        "kms:CreateGrant": [key],
        "logs:CreateLogGroup": logs,
        "logs:CreateLogStream": logs,
        "logs:DescribeLogStreams": logs,
        "logs:PutLogEvents": logs,
        "cloudwatch:PutMetricData": ["*"],
        "ecr:GetAuthorizationToken": ["*"],
        "ecr:BatchCheckLayerAvailability": [repository],
        "ecr:BatchGetImage": [repository],
        "ecr:GetDownloadUrlForLayer": [repository],
    }
    assert {action for action, where in allowed.items() if where == ["*"]} == ANYWHERE


def test_p25_only_sagemaker_takes_the_role_and_only_for_this_account(evaluate: Any) -> None:
    (trust,) = statements(evaluate().one("Role").inputs["assumeRolePolicy"])
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Action"] == "sts:AssumeRole"
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*"},
    }


def test_p26_no_managed_policy_and_the_boundary_where_there_is_one(evaluate: Any) -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    role = evaluate(existing={"boundary": boundary}).one("Role").inputs
    assert role["permissionsBoundary"] == boundary
    assert not role.get("managedPolicyArns")


def test_a_boundary_beside_a_role_that_exists_is_said_to_bound_nothing(
    evaluate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    boundary, role = f"arn:aws:iam::{ACCOUNT}:policy/boundary", f"arn:aws:iam::{ACCOUNT}:role/serving"
    with caplog.at_level(logging.WARNING):
        plan = evaluate(existing={"boundary": boundary, "role": role})
    assert [each for each in caplog.records if "names a boundary" in each.getMessage() and role in each.getMessage()]
    assert plan.of("Role") == []
    assert plan.one("Model").inputs["executionRoleArn"] == role


def test_what_stands_for_a_revision_says_which_and_which_commit_made_it(
    evaluate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SHA", "a" * 40)
    plan = evaluate()
    tags = plan.one("EndpointConfiguration").inputs["tags"]
    assert (tags["revision"], tags["commit"]) == (plan.outputs["revision"], "a" * 40)
    assert "commit" not in plan.one("Endpoint").inputs["tags"]
    own = evaluate(tags={"commit": "ours"}).one("EndpointConfiguration").inputs["tags"]
    assert own["commit"] == "ours"


def test_p30_everything_that_takes_tags_says_whose_it_is(evaluate: Any) -> None:
    plan = evaluate(tags={"cost-center": "4711", "owner": "vision"})
    tagged = {each.type.rsplit(":", 1)[1]: each.inputs["tags"] for each in plan.resources if "tags" in each.inputs}
    assert sorted(tagged) == [
        "Bucket",
        "Endpoint",
        "EndpointConfiguration",
        "Key",
        "LogGroup",
        "MetricAlarm",
        "Model",
        "Role",
        "Target",
        "Topic",
    ]
    for tags in tagged.values():
        assert (tags["owner"], tags["stack"], tags["cost-center"]) == ("vision", "local", "4711")


def test_alarms_alone_may_publish_and_with_tls_only(evaluate: Any) -> None:
    allowed, denied = statements(evaluate().one("Topic").inputs["policy"])
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Resource"] == f"arn:aws:sns:us-east-1:{ACCOUNT}:digits-local"
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert denied["Effect"] == "Deny"


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [("cn-north-1", "aws-cn", "amazonaws.com.cn"), ("us-gov-west-1", "aws-us-gov", "amazonaws.com")],
)
def test_other_partitions_have_their_own_arns(evaluate: Any, region: str, partition: str, suffix: str) -> None:
    plan = evaluate(**{"aws:region": region})
    text = json.dumps([statement for _, statement in policies(plan)])
    assert "arn:aws:s3" not in text
    assert f"arn:{partition}:s3:::digits-local-{ACCOUNT}-{region}/bundles" in text
    assert f"logs.{region}.{suffix}" in text
    assert f".dkr.ecr.{region}.{suffix}/" in plan.one("Model").inputs["primaryContainer"]["image"]
