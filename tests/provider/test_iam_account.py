"""Managed policies and identity providers on moto."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from cloudmodel.localaws.mending import mend_identity_providers

POLICY = "aws:iam/policy:Policy"
OIDC = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
GITHUB = "https://token.actions.githubusercontent.com"
PRINT, OTHER_PRINT = "990f4193972f2becf12ddeda5237f9c952f20d9e", "880f4193972f2becf12ddeda5237f9c952f20d9e"


def allow(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "arn:aws:s3:::models/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def iam(aws: Any) -> Any:
    mend_identity_providers()
    return boto3.client("iam")


def test_a_policy_from_create_to_delete(aws: Any, iam: Any) -> None:
    live = aws.create(POLICY, {"policy": allow("s3:GetObject"), "description": "d", "tags": {"a": "b"}})
    assert live.outputs["arn"] == live.id == f"arn:aws:iam::123456789012:policy/{live.inputs['name']}"
    assert aws.read(POLICY, live) == live
    assert aws.find(POLICY, live.inputs) == live.id
    for number in range(7):
        news = {"policy": allow("s3:GetObject", f"s3:Get{number}"), "description": "d", "tags": {"c": "d"}}
        assert "policy" in aws.diff(POLICY, live, news).changes
        live = aws.update(POLICY, live, news)
        assert aws.read(POLICY, live) == live
    assert len(iam.list_policy_versions(PolicyArn=live.id)["Versions"]) == 5
    aws.delete(POLICY, live)
    aws.delete(POLICY, live)
    assert aws.read(POLICY, live) is None
    assert aws.find(POLICY, live.inputs) is None


def test_an_identity_provider_from_create_to_delete(aws: Any, iam: Any) -> None:
    asked = {"url": GITHUB, "clientIdLists": ["sts.amazonaws.com"], "thumbprintLists": [PRINT], "tags": {"a": "b"}}
    live = aws.create(OIDC, asked)
    assert live.id == "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    assert aws.read(OIDC, live) == live
    assert aws.find(OIDC, live.inputs) == live.id
    news = asked | {"clientIdLists": ["one", "two"], "thumbprintLists": [OTHER_PRINT], "tags": {"c": "d"}}
    changed = aws.update(OIDC, live, news)
    assert aws.read(OIDC, changed) == changed
    told = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=live.id)
    assert (sorted(told["ClientIDList"]), told["ThumbprintList"]) == (["one", "two"], [OTHER_PRINT])
    aws.delete(OIDC, changed)
    aws.delete(OIDC, changed)
    assert aws.read(OIDC, changed) is None


def test_thumbprints_are_awss_own_where_the_program_is_silent(aws: Any) -> None:
    live = aws.create(OIDC, {"url": GITHUB, "clientIdLists": ["b", "a"]})
    assert aws.diff(OIDC, live, {"url": GITHUB, "clientIdLists": ["a", "b"]}).changes == {}
    assert aws.diff(OIDC, live, {"url": f"{GITHUB}/x", "clientIdLists": ["a"]}).replaces == ("url",)
