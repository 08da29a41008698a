"""The provider as a whole: its configuration, previews, regions, functions, and what it does not have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.errors import Unsupported
from cloudmodel.core.resource import UNKNOWN, Properties, Provider, ResourceFailure
from cloudmodel.provider.cloud import Account, Cloud
from cloudmodel.provider.config import KNOWN, check, load
from cloudmodel.provider.provider import AwsProvider
from cloudmodel.provider.rules import RULES

BUCKET = "aws:s3/bucket:Bucket"
LOGS = "aws:cloudwatch/logGroup:LogGroup"


def test_it_is_a_provider(aws: Any) -> None:
    provider: Provider = AwsProvider()
    assert provider


CONFIGURATIONS = [
    ({"regoin": "x"}, "regoin", "did you mean region?"),
    ({"allowedAccountIds": "[123456789012]"}, "allowedAccountIds", "12 digits in quotes"),
    ({"allowedAccountIds": '["12"]'}, "allowedAccountIds", "12 digits"),
    ({"allowedAccountIds": "x"}, "allowedAccountIds", "must be JSON"),
    ({"skipCredentialsValidation": "maybe"}, "skipCredentialsValidation", "must be JSON"),
    ({"skipCredentialsValidation": "1"}, "skipCredentialsValidation", "true or false"),
    ({"skipRequestingAccountId": "true", "allowedAccountIds": '["123456789012"]'},
     "skipRequestingAccountId", "cannot be checked"),
    ({"assumeRoles": "[]"}, "assumeRoles", "not a setting"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "property", "reason"), CONFIGURATIONS)
def test_a_configuration_that_cannot_be_is_refused(inputs: Properties, property: str, reason: str) -> None:
    failures = {each.property: each.reason for each in check(inputs).failures}
    assert reason in failures[property]
    with pytest.raises(ResourceFailure, match=property):
        load(inputs)


def test_values_arrive_as_strings_and_as_json() -> None:
    loaded = load(
        {
            "region": "eu-west-1",
            "allowedAccountIds": '["123456789012"]',
            "skipCredentialsValidation": "true",
            "defaultTags": '{"tags": {"a": "b"}}',
            "endpoints": '[{"s3": "http://127.0.0.1:1"}]',
            "version": "7.51.1",
            "__internal": {},
        }
    )
    assert (loaded.region, loaded.allowed_accounts, loaded.skip_credentials) == ("eu-west-1", ("123456789012",), True)
    assert loaded.default_tags == {"a": "b"} and loaded.endpoints == {"s3": "http://127.0.0.1:1"}
    assert load({"allowedAccountIds": ["123456789012"]}).allowed_accounts == ("123456789012",)


def test_secrets_of_the_configuration_are_not_shown() -> None:
    shown = repr(load({"secretKey": "topsecret", "token": "alsosecret"}))
    assert "topsecret" not in shown and "alsosecret" not in shown


@given(st.dictionaries(st.sampled_from(sorted(KNOWN)), st.text(max_size=12) | st.just(UNKNOWN), max_size=4))
def test_any_configuration_is_answered(inputs: Properties) -> None:
    assert all(each.reason for each in check(inputs).failures)


def test_an_unknown_configuration_says_what_to_do() -> None:
    assert check({"region": UNKNOWN}).failures == ()
    with pytest.raises(ResourceFailure, match="aws:region is not known"):
        AwsProvider().configure({"region": UNKNOWN})


def test_the_right_account_is_let_in_and_another_is_not(moto: None) -> None:
    AwsProvider().configure({"region": "eu-west-1", "allowedAccountIds": '["123456789012"]'})
    with pytest.raises(ResourceFailure, match="account 123456789012, which this stack must not touch") as failure:
        AwsProvider().configure({"region": "eu-west-1", "allowedAccountIds": '["210987654321"]'})
    assert "AWS_PROFILE" in (failure.value.hint or "")
    with pytest.raises(ResourceFailure, match="must not touch"):
        AwsProvider().configure({"region": "eu-west-1", "forbiddenAccountIds": '["123456789012"]'})


@pytest.mark.parametrize("flag", ["skipCredentialsValidation", "skipRequestingAccountId"])
def test_skipping_asks_nobody(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cloud, "call", lambda *_, **__: pytest.fail("a call was made"))
    AwsProvider().configure({"region": "eu-west-1", flag: "true"})


def test_no_credentials_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ResourceFailure, match="Unable to locate credentials") as failure:
        AwsProvider().configure({"region": "eu-west-1"})
    assert "AWS_PROFILE" in (failure.value.hint or "") and not failure.value.uncertain


def test_no_region_and_an_unknown_profile_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceFailure, match="nobody"):
        AwsProvider().configure({"profile": "nobody"})
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ResourceFailure, match="no AWS region") as failure:
        AwsProvider().configure({})
    assert "aws:region" in (failure.value.hint or "")


def test_the_local_aws_needs_no_credentials_and_no_working_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    provider = AwsProvider(endpoint_url="http://127.0.0.1:1")
    provider.configure({"region": "eu-west-1", "skipCredentialsValidation": "true"})
    account = provider._configured()
    assert account.client("s3", "eu-west-1")._get_credentials().access_key == "local"
    assert account.client("s3", "eu-west-1").meta.endpoint_url == "http://127.0.0.1:1"


@pytest.mark.parametrize("type", sorted(RULES))
def test_a_preview_makes_no_call_and_says_what_it_cannot_know(type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cloud, "call", lambda *_, **__: pytest.fail("a call was made"))
    monkeypatch.setattr(Account, "client", lambda *_: pytest.fail("a client was made"))
    provider = AwsProvider()
    provider.configure({"region": "eu-west-1", "skipCredentialsValidation": "true"})
    news = dict.fromkeys(RULES[type].required, UNKNOWN)
    checked = provider.check("urn::it", type, None, news, b"1")
    assert checked.failures == ()
    made = provider.create("urn::it", type, checked.inputs, None, True)
    assert made.id == ""
    computed = {name for name, each in RULES[type].fields.items() if each.computed} | set(RULES[type].outputs)
    assert all(made.outputs[name] == UNKNOWN for name in computed - set(news) - {"tagsAll"})
    provider.diff("urn::it", type, "id", checked.inputs, made.outputs, checked.inputs)


def test_a_preview_of_an_update_knows_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cloud, "call", lambda *_, **__: pytest.fail("a call was made"))
    provider = AwsProvider()
    provider.configure({"region": "eu-west-1", "skipCredentialsValidation": "true"})
    type = "aws:s3/bucketObjectv2:BucketObjectv2"
    old = {"bucket": "b", "key": "k", "content": "1"}
    outputs = {**old, "arn": "arn", "versionId": "v1", "etag": "e1", "tagsAll": {}}

    def foreseen(news: Properties) -> Properties:
        return provider.update("urn::it", type, "k", old, outputs, news, None, True).outputs

    tagged = foreseen({**old, "tags": {"a": "b"}})
    assert (tagged["arn"], tagged["versionId"], tagged["etag"], tagged["tagsAll"]) == ("arn", "v1", "e1", {"a": "b"})
    changed = foreseen({**old, "content": "2"})
    assert (changed["arn"], changed["versionId"], changed["etag"]) == ("arn", UNKNOWN, UNKNOWN)


def test_a_resource_may_live_in_another_region(aws: Any) -> None:
    live = aws.create(LOGS, {"region": "us-east-2"})
    assert live.outputs["region"] == "us-east-2" and ":us-east-2:" in live.outputs["arn"]
    assert aws.read(LOGS, live) == live
    assert aws.diff(LOGS, live, {"region": "us-east-2"}).changes == {}
    assert aws.diff(LOGS, live, {}).replaces == ("region",)
    aws.delete(LOGS, live)
    assert aws.read(LOGS, live) is None


def test_default_tags_reach_the_cloud(moto: None, clock: Any) -> None:
    provider = AwsProvider(waiter=clock.waiter)
    provider.configure({"region": "eu-west-1", "defaultTags": '{"tags": {"owner": "ml"}}'})
    inputs = provider.check("urn::it", LOGS, None, {"tags": {"a": "b"}}, b"1").inputs
    live = provider.create("urn::it", LOGS, inputs, None, False)
    assert live.outputs["tagsAll"] == {"owner": "ml", "a": "b"}
    assert provider.read("urn::it", LOGS, live.id, live.inputs, live.outputs) == live


def test_functions(aws: Any) -> None:
    identity = aws.provider.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})
    assert identity["accountId"] == "123456789012" and identity["arn"].startswith("arn:aws:sts::123456789012:")
    region = aws.provider.invoke("aws:index/getRegion:getRegion", {})
    assert (region["name"], region["region"], region["description"]) == ("eu-west-1", "eu-west-1", "Europe (Ireland)")
    assert aws.provider.invoke("aws:index/getPartition:getPartition", {}) == {
        "dnsSuffix": "amazonaws.com",
        "id": "aws",
        "partition": "aws",
        "reverseDnsPrefix": "com.amazonaws",
    }


def test_what_it_does_not_have_is_refused_with_the_way_out(aws: Any) -> None:
    with pytest.raises(Unsupported, match="the local AWS does not do") as failure:
        aws.check("aws:s3/bucketV2:BucketV2", {})
    assert "did you mean aws:s3/bucket" in (failure.value.hint or "")
    with pytest.raises(Unsupported, match="does not do the function"):
        aws.provider.invoke("aws:ec2/getAmi:getAmi", {})


def test_nothing_works_before_it_is_configured() -> None:
    with pytest.raises(ResourceFailure, match="not configured"):
        AwsProvider().create("urn::it", BUCKET, {"bucket": "b"}, None, False)


def test_clients_are_made_once_and_are_each_instances_own(moto: None) -> None:
    accounts = []
    for _ in range(2):
        provider = AwsProvider()
        provider.configure({"region": "eu-west-1"})
        accounts.append(provider._configured())
    assert accounts[0].client("s3", "eu-west-1") is accounts[0].client("s3", "eu-west-1")
    assert accounts[0].client("s3", "eu-west-1") is not accounts[1].client("s3", "eu-west-1")
    assert accounts[0].client("s3", "eu-west-1") is not accounts[0].client("s3", "us-east-1")
