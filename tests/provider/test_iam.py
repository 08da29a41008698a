"""Roles and their policies on moto."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from cloudmodel.core.resource import DiffKind, ResourceFailure

ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def allow(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "arn:aws:s3:::models/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def iam(aws: Any) -> Any:
    return boto3.client("iam")


@pytest.fixture
def managed_policy(iam: Any) -> str:
    return str(iam.create_policy(PolicyName="boundary", PolicyDocument=allow("s3:GetObject"))["Policy"]["Arn"])


def test_a_role_from_create_to_delete(aws: Any, trust: str, managed_policy: str) -> None:
    inputs = {"assumeRolePolicy": trust, "description": "runs models", "tags": {"a": "b"}}
    live = aws.create(ROLE, inputs)
    assert live.outputs["arn"] == f"arn:aws:iam::123456789012:role/{live.id}"
    assert live.outputs["uniqueId"] and live.outputs["createDate"].endswith("Z")
    assert "region" not in live.outputs
    assert aws.read(ROLE, live) == live
    assert aws.find(ROLE, live.inputs) == live.id
    news = {
        "assumeRolePolicy": trust.replace("123456789012", "210987654321"),
        "description": "other",
        "maxSessionDuration": 7200,
        "permissionsBoundary": managed_policy,
        "tags": {"c": "d"},
    }
    assert set(aws.diff(ROLE, live, news).changes) == {*news, "tags.a", "tags.c"} - {"tags"}
    changed = aws.update(ROLE, live, news)
    assert aws.read(ROLE, changed) == changed
    back = aws.update(ROLE, changed, {"assumeRolePolicy": trust})
    assert aws.read(ROLE, back) == back
    aws.delete(ROLE, back)
    assert aws.read(ROLE, back) is None
    assert aws.find(ROLE, live.inputs) is None
    aws.delete(ROLE, back)


def test_the_trust_policy_in_iams_spelling_is_no_change(aws: Any, trust: str) -> None:
    live = aws.create(ROLE, {"assumeRolePolicy": trust})
    spelled = json.loads(trust)
    spelled["Statement"][0]["Action"] = ["sts:AssumeRole"]
    assert aws.diff(ROLE, live, {"assumeRolePolicy": json.dumps(spelled, indent=2)}).changes == {}


@pytest.mark.parametrize(("property", "value"), [("name", "other"), ("path", "/x/")])
def test_name_and_path_replace(aws: Any, trust: str, property: str, value: str) -> None:
    live = aws.create(ROLE, {"assumeRolePolicy": trust})
    assert aws.diff(ROLE, live, {"assumeRolePolicy": trust, property: value}).replaces == (property,)


def test_a_role_that_is_taken_is_refused(aws: Any, trust: str) -> None:
    aws.create(ROLE, {"assumeRolePolicy": trust, "name": "taken"})
    with pytest.raises(ResourceFailure, match="iam CreateRole: EntityAlreadyExists") as failure:
        aws.create(ROLE, {"assumeRolePolicy": trust, "name": "taken"})
    assert "import it" in (failure.value.hint or "") and not failure.value.uncertain


def test_a_role_with_other_tags_is_not_ours(aws: Any, trust: str) -> None:
    live = aws.create(ROLE, {"assumeRolePolicy": trust, "tags": {"stack": "theirs"}})
    assert aws.find(ROLE, {**live.inputs, "tags": {"stack": "ours"}}) is None


def test_a_role_with_policies_of_others_is_kept_unless_forced(
    aws: Any, iam: Any, trust: str, managed_policy: str
) -> None:
    live = aws.create(ROLE, {"assumeRolePolicy": trust})
    iam.attach_role_policy(RoleName=live.id, PolicyArn=managed_policy)
    with pytest.raises(ResourceFailure, match="still has policies") as failure:
        aws.delete(ROLE, live)
    assert "forceDetachPolicies" in (failure.value.hint or "")
    iam.put_role_policy(RoleName=live.id, PolicyName="p", PolicyDocument=allow("s3:GetObject"))
    forced = aws.update(ROLE, live, {"assumeRolePolicy": trust, "forceDetachPolicies": True})
    aws.delete(ROLE, forced)
    assert aws.read(ROLE, forced) is None


def test_a_role_policy_from_create_to_delete(aws: Any, trust: str) -> None:
    role = aws.create(ROLE, {"assumeRolePolicy": trust}).id
    live = aws.create(POLICY, {"role": role, "name": "access", "policy": allow("s3:GetObject")})
    assert live.id == f"{role}:access"
    assert aws.read(POLICY, live) == live
    assert aws.find(POLICY, live.inputs) == live.id
    news = {"role": role, "name": "access", "policy": allow("s3:GetObject", "s3:ListBucket")}
    assert aws.diff(POLICY, live, news).changes == {"policy": DiffKind.UPDATE}
    changed = aws.update(POLICY, live, news)
    assert aws.read(POLICY, changed) == changed
    assert aws.diff(POLICY, live, {**news, "name": "x", "role": "y"}).replaces == ("name", "role")
    aws.delete(POLICY, changed)
    assert aws.read(POLICY, changed) is None
    aws.delete(POLICY, changed)


def test_a_policy_of_a_role_that_is_gone_is_gone(aws: Any, trust: str) -> None:
    role = aws.create(ROLE, {"assumeRolePolicy": trust, "forceDetachPolicies": True})
    policy = aws.create(POLICY, {"role": role.id, "policy": allow("s3:GetObject")})
    aws.delete(ROLE, role)
    assert aws.read(POLICY, policy) is None
    aws.delete(POLICY, policy)


def test_an_attachment_from_create_to_delete(aws: Any, trust: str, managed_policy: str) -> None:
    role = aws.create(ROLE, {"assumeRolePolicy": trust}).id
    live = aws.create(ATTACHMENT, {"role": role, "policyArn": managed_policy})
    assert live.id == f"{role}/{managed_policy}"
    assert aws.read(ATTACHMENT, live) == live
    assert aws.find(ATTACHMENT, live.inputs) == live.id
    assert aws.update(ATTACHMENT, live, {"role": role, "policyArn": managed_policy}) == live
    aws.delete(ATTACHMENT, live)
    assert aws.read(ATTACHMENT, live) is None
    aws.delete(ATTACHMENT, live)
    assert aws.provider.read("urn", ATTACHMENT, f"nobody/{managed_policy}", {}, {}) is None
