"""What a program may write, and how what it leaves out is filled in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.resource import UNKNOWN, Properties
from cloudmodel.provider.checks import DEFAULTS, check
from cloudmodel.provider.rules import RULES

BUCKET = "aws:s3/bucket:Bucket"
ROLE = "aws:iam/role:Role"
ALIAS = "aws:kms/alias:Alias"
LOGS = "aws:cloudwatch/logGroup:LogGroup"
TOPIC = "aws:sns/topic:Topic"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
TARGET = "aws:appautoscaling/target:Target"
TRUST = '{"Statement": []}'
SEED = bytes(32)


def checked(
    type: str, news: Properties, *, name: str = "it", olds: Properties | None = None, seed: bytes = SEED
) -> Any:
    return check(RULES[type], f"urn:pulumi:dev::demo::{type}::{name}", olds, news, seed, {})


NAMED = [
    (BUCKET, "bucket", {}, r"it-[0-9a-f]{7}"),
    (BUCKET, "bucket", {"bucketPrefix": "mine-"}, r"mine-[0-9a-f]{7}"),
    (ROLE, "name", {"assumeRolePolicy": TRUST}, r"it-[0-9a-f]{7}"),
    (ROLE, "name", {"assumeRolePolicy": TRUST, "namePrefix": "team."}, r"team\.[0-9a-f]{7}"),
    (ALIAS, "name", {"targetKeyId": "k"}, r"alias/it-[0-9a-f]{7}"),
    (LOGS, "name", {}, r"it-[0-9a-f]{7}"),
    (TOPIC, "name", {}, r"it-[0-9a-f]{7}"),
    (TOPIC, "name", {"fifoTopic": True}, r"it-[0-9a-f]{7}\.fifo"),
    (ENDPOINT, "name", {"endpointConfigName": "c"}, r"it-[0-9a-f]{7}"),
]


@pytest.mark.parametrize(("type", "property", "news", "pattern"), NAMED)
def test_a_name_is_the_logical_name_and_seven_hex_digits(
    type: str, property: str, news: Properties, pattern: str
) -> None:
    found = checked(type, news)
    assert found.failures == ()
    assert re.fullmatch(pattern, found.inputs[property])
    assert property in found.inputs[DEFAULTS]


def test_one_seed_gives_one_name_and_another_seed_another() -> None:
    names = [checked(BUCKET, {}, seed=seed).inputs["bucket"] for seed in (SEED, SEED, b"\1" * 32)]
    assert names[0] == names[1] != names[2]


def test_without_a_seed_names_are_random() -> None:
    assert checked(BUCKET, {}, seed=b"").inputs["bucket"] != checked(BUCKET, {}, seed=b"").inputs["bucket"]


def test_an_automatic_name_is_kept_and_a_replacement_gets_a_new_one() -> None:
    olds = checked(BUCKET, {}).inputs
    assert checked(BUCKET, {}, olds=olds, seed=b"\1" * 32).inputs["bucket"] == olds["bucket"]
    assert checked(BUCKET, {}, olds=None, seed=b"\1" * 32).inputs["bucket"] != olds["bucket"]


def test_the_program_takes_its_name_away_and_an_automatic_one_takes_its_place() -> None:
    olds = checked(BUCKET, {"bucket": "fixed-name"}).inputs
    assert checked(BUCKET, {}, olds=olds).inputs["bucket"] == checked(BUCKET, {}).inputs["bucket"]


def test_a_given_name_is_kept_as_it_is() -> None:
    found = checked(BUCKET, {"bucket": "fixed-name"})
    assert found.inputs["bucket"] == "fixed-name"
    assert "bucket" not in found.inputs[DEFAULTS]


def test_a_bucket_is_named_in_lower_case() -> None:
    assert checked(BUCKET, {}, name="Models").inputs["bucket"].startswith("models-")


REFUSED = [
    (BUCKET, {"buckett": "a"}, "buckett", "did you mean bucket?"),
    (BUCKET, {"arn": "a"}, "arn", "is an output"),
    (BUCKET, {"versioning": {}}, "versioning", "BucketVersioning"),
    (BUCKET, {"bucket": "Upper"}, "bucket", "lower-case"),
    (BUCKET, {"bucket": "a" * 64}, "bucket", "at most 63"),
    (BUCKET, {"bucket": "ab"}, "bucket", "not allowed"),
    (BUCKET, {"bucket": "a..b"}, "bucket", "not allowed"),
    (BUCKET, {"bucket": 5.5, "bucketPrefix": "x"}, "bucketPrefix", "together"),
    (BUCKET, {"forceDestroy": "maybe"}, "forceDestroy", "must be a boolean"),
    (BUCKET, {"tags": ["a"]}, "tags", "must be a map"),
    (BUCKET, {"tags": {"a": []}}, "tags.a", "must be a string"),
    (ROLE, {}, "assumeRolePolicy", "required"),
    (ROLE, {"assumeRolePolicy": "not json"}, "assumeRolePolicy", "policy document"),
    (ROLE, {"assumeRolePolicy": "[1]"}, "assumeRolePolicy", "policy document"),
    (ROLE, {"assumeRolePolicy": TRUST, "name": "a b"}, "name", "not allowed"),
    (ROLE, {"assumeRolePolicy": TRUST, "maxSessionDuration": 1.5}, "maxSessionDuration", "must be an integer"),
    (ROLE, {"assumeRolePolicy": TRUST, "maxSessionDuration": True}, "maxSessionDuration", "must be an integer"),
    (ALIAS, {"name": "no-prefix", "targetKeyId": "k"}, "name", "alias/"),
    (ALIAS, {"name": "alias/aws/s3", "targetKeyId": "k"}, "name", "AWS's own"),
    (LOGS, {"retentionInDays": 2}, "retentionInDays", "must be one of 0, 1, 3, 5"),
    (TOPIC, {"name": "a.b"}, "name", "not allowed"),
    (ENDPOINT, {"endpointConfigName": "c", "name": "under_score"}, "name", "not allowed"),
    (ENDPOINT, {"endpointConfigName": "c", "name": "a" * 64}, "name", "at most 63"),
    (CONFIGURATION, {"productionVariants": "x"}, "productionVariants", "must be a list of objects"),
    (CONFIGURATION, {"productionVariants": ["x"]}, "productionVariants[0]", "must be an object"),
    (
        CONFIGURATION,
        {"productionVariants": [{"serverlessConfig": {"maxConcurrency": 1}}]},
        "productionVariants[0].serverlessConfig.memorySizeInMb",
        "required",
    ),
    (
        CONFIGURATION,
        {"productionVariants": [{"instanceTypes": "ml.m5.large"}]},
        "productionVariants[0].instanceTypes",
        "did you mean instanceType?",
    ),
    (
        ENCRYPTION,
        {"bucket": "b", "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "rot13"}}]},
        "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm",
        "must be one of AES256",
    ),
    (OBJECT, {"bucket": "b", "source": "path.txt"}, "source", "must be an asset"),
]


@pytest.mark.parametrize(("type", "news", "property", "reason"), REFUSED)
def test_what_cannot_be_is_refused_with_its_path_and_reason(
    type: str, news: Properties, property: str, reason: str
) -> None:
    failures = {each.property: each.reason for each in checked(type, news).failures}
    assert reason in failures[property]


def test_a_logical_name_that_leaves_no_room_for_the_digits_is_refused() -> None:
    (failure,) = checked(BUCKET, {}, name="x" * 60).failures
    assert failure.property == "bucket" and "68 characters; at most 63" in failure.reason


def test_unknown_values_pass_and_stay_unknown() -> None:
    news = {"bucket": UNKNOWN, "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": UNKNOWN}}]}
    found = checked(ENCRYPTION, news)
    assert found.failures == ()
    assert found.inputs["rules"] == news["rules"]
    assert checked(TARGET, dict.fromkeys(RULES[TARGET].required, UNKNOWN)).failures == ()
    assert checked(BUCKET, {"bucketPrefix": UNKNOWN}).inputs["bucket"] == UNKNOWN


def test_numbers_and_booleans_arrive_as_doubles_and_strings() -> None:
    found = checked(LOGS, {"retentionInDays": 14.0, "skipDestroy": "true"})
    assert found.failures == ()
    assert found.inputs["retentionInDays"] == 14 and isinstance(found.inputs["retentionInDays"], int)
    assert found.inputs["skipDestroy"] is True
    assert checked(LOGS, {"retentionInDays": "14"}).inputs["retentionInDays"] == 14


def test_defaults_are_filled_in_and_named() -> None:
    found = checked(ROLE, {"assumeRolePolicy": TRUST}).inputs
    assert (found["path"], found["maxSessionDuration"], found["forceDetachPolicies"]) == ("/", 3600, False)
    assert found[DEFAULTS] == ["forceDetachPolicies", "maxSessionDuration", "name", "path"]


def test_null_is_silence() -> None:
    assert "tags" not in checked(BUCKET, {"tags": None}).inputs


def test_the_providers_tags_are_merged_and_the_resources_win() -> None:
    found = check(RULES[BUCKET], "u::it", None, {"tags": {"a": "mine"}}, SEED, {"a": "default", "b": "default"})
    assert found.inputs["tags"] == {"a": "mine", "b": "default"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(type=st.sampled_from(sorted(RULES)), data=st.data())
def test_any_json_is_answered_with_failures_and_never_with_an_exception(type: str, data: st.DataObject) -> None:
    known = st.dictionaries(st.sampled_from(sorted(RULES[type].fields)), json_values, max_size=6)
    other = st.dictionaries(st.text(min_size=1, max_size=8), json_values, max_size=2)
    news = data.draw(known) | data.draw(other)
    found = checked(type, news)
    assert all(each.property and each.reason for each in found.failures)
    again = checked(type, {k: v for k, v in found.inputs.items() if k != DEFAULTS}, olds=found.inputs)
    if not found.failures:
        assert {k: v for k, v in again.inputs.items() if k != DEFAULTS} == {
            k: v for k, v in found.inputs.items() if k != DEFAULTS
        }
