"""Rows of (old, wanted, changes): what is a change, what replaces, what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.resource import ASSET, SIGNATURE, UNKNOWN, DiffKind, Properties
from cloudmodel.provider.checks import DEFAULTS
from cloudmodel.provider.diffs import diff
from cloudmodel.provider.documents import same_json, same_policy
from cloudmodel.provider.rules import RULES
from cloudmodel.provider.rules.form import Field, Kind, Rule

ADD, UPDATE, DELETE = DiffKind.ADD, DiffKind.UPDATE, DiffKind.DELETE
ADD_REPLACE, UPDATE_REPLACE, DELETE_REPLACE = DiffKind.ADD_REPLACE, DiffKind.UPDATE_REPLACE, DiffKind.DELETE_REPLACE

MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
KEY = "aws:kms/key:Key"
ROLE = "aws:iam/role:Role"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
BUCKET = "aws:s3/bucket:Bucket"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
TRACKING = "aws:appautoscaling/policy:Policy"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"


def variant(**more: Any) -> Properties:
    return {"modelName": "m", "instanceType": "ml.m5.large", "initialInstanceCount": 1, **more}


def asset(hash: str, path: str = "a") -> Properties:
    return {SIGNATURE: ASSET, "hash": hash, "path": path}


def policy(*actions: str, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), **more}]})


ROWS: list[tuple[str, str, Properties, Properties, dict[str, DiffKind]]] = [
    ("nothing", BUCKET, {"bucket": "b"}, {"bucket": "b"}, {}),
    ("a new bucket name", BUCKET, {"bucket": "b"}, {"bucket": "c"}, {"bucket": UPDATE_REPLACE}),
    ("tags", BUCKET, {"tags": {"a": "1", "b": "2"}}, {"tags": {"a": "3", "c:d": "4"}},
     {"tags.a": UPDATE, "tags.b": DELETE, 'tags["c:d"]': ADD}),
    ("all tags gone", BUCKET, {"tags": {"a": "1"}}, {}, {"tags": DELETE}),
    ("no tags and empty tags", BUCKET, {"tags": {}}, {}, {}),
    ("the cloud filled in", KEY, {"policy": policy("kms:*"), "multiRegion": False, "description": "x"}, {}, {}),
    ("the same policy in other words", KEY, {"policy": policy("kms:*")},
     {"policy": '{"Statement": {"Action": "kms:*", "Effect": "Allow"}, "Version": "2012-10-17"}'}, {}),
    ("another policy", KEY, {"policy": policy("kms:*")}, {"policy": policy("kms:Decrypt")}, {"policy": UPDATE}),
    ("key use", KEY, {"keyUsage": "ENCRYPT_DECRYPT"}, {"keyUsage": "SIGN_VERIFY"}, {"keyUsage": UPDATE_REPLACE}),
    ("rotation", KEY, {"enableKeyRotation": False}, {"enableKeyRotation": True}, {"enableKeyRotation": UPDATE}),
    ("false and nothing", MODEL, {"enableNetworkIsolation": False}, {}, {}),
    ("isolation", MODEL, {}, {"enableNetworkIsolation": True}, {"enableNetworkIsolation": ADD_REPLACE}),
    ("an image", MODEL, {"primaryContainer": {"image": "a", "mode": "SingleModel"}},
     {"primaryContainer": {"image": "b"}}, {"primaryContainer.image": UPDATE_REPLACE}),
    ("an environment", MODEL, {"primaryContainer": {"environment": {"A": "1"}}},
     {"primaryContainer": {"environment": {"A": "1", "B": "2"}}}, {"primaryContainer.environment.B": ADD_REPLACE}),
    ("model tags in place", MODEL, {"tags": {"a": "1"}}, {"tags": {"a": "2"}}, {"tags.a": UPDATE}),
    ("subnets are a set", MODEL, {"vpcConfig": {"subnets": ["a", "b"], "securityGroupIds": ["s"]}},
     {"vpcConfig": {"subnets": ["b", "a"], "securityGroupIds": ["s"]}}, {}),
    ("moto's empty network", MODEL, {"vpcConfig": {"subnets": [], "securityGroupIds": []}}, {}, {}),
    ("variants filled in", CONFIGURATION,
     {"productionVariants": [variant(variantName="variant-1", initialVariantWeight=1.0)]},
     {"productionVariants": [variant()]}, {}),
    ("another count", CONFIGURATION, {"productionVariants": [variant()]},
     {"productionVariants": [variant(initialInstanceCount=2)]},
     {"productionVariants[0].initialInstanceCount": UPDATE_REPLACE}),
    ("a variant more", CONFIGURATION, {"productionVariants": [variant()]},
     {"productionVariants": [variant(), variant()]}, {"productionVariants[1]": ADD_REPLACE}),
    ("a variant less", CONFIGURATION, {"productionVariants": [variant(), variant()]},
     {"productionVariants": [variant()]}, {"productionVariants[1]": DELETE_REPLACE}),
    ("capture off", CONFIGURATION, {"dataCaptureConfig": {"initialSamplingPercentage": 5}}, {},
     {"dataCaptureConfig": DELETE_REPLACE}),
    ("the switch", ENDPOINT, {"endpointConfigName": "a"}, {"endpointConfigName": "b"}, {"endpointConfigName": UPDATE}),
    ("an unknown configuration", ENDPOINT, {"endpointConfigName": "a"}, {"endpointConfigName": UNKNOWN},
     {"endpointConfigName": UPDATE}),
    ("an unknown name", ENDPOINT, {"name": "a"}, {"name": UNKNOWN}, {"name": UPDATE_REPLACE}),
    ("an unknown inside", CONFIGURATION, {"productionVariants": [variant()]},
     {"productionVariants": [variant(modelName=UNKNOWN)]}, {"productionVariants[0].modelName": UPDATE_REPLACE}),
    ("a path of a role", ROLE, {"path": "/"}, {"path": "/x/"}, {"path": UPDATE_REPLACE}),
    ("a boundary gone", ROLE, {"permissionsBoundary": "arn"}, {}, {"permissionsBoundary": DELETE}),
    ("actions are a set", ALARM, {"alarmActions": ["b", "a"]}, {"alarmActions": ["a", "b"]}, {}),
    ("an action gone", ALARM, {"alarmActions": ["a", "b"]}, {"alarmActions": ["a"]}, {"alarmActions[1]": DELETE}),
    ("a whole number is a number", ALARM, {"threshold": 5.0}, {"threshold": 5}, {}),
    ("queries are a set", ALARM, {"metricQueries": [{"id": "a", "expression": "b"}, {"id": "c", "label": "x"}]},
     {"metricQueries": [{"id": "c", "label": "y"}, {"id": "a", "expression": "b"}]},
     {"metricQueries[0].label": UPDATE}),
    ("bounds as numbers", TRACKING,
     {"stepScalingPolicyConfiguration": {"stepAdjustments": [{"metricIntervalLowerBound": "0"}]}},
     {"stepScalingPolicyConfiguration": {"stepAdjustments": [{"metricIntervalLowerBound": "0.0"}]}}, {}),
    ("another file, same content", OBJECT, {"source": asset("h", "a")}, {"source": asset("h", "b")}, {}),
    ("same file, other content", OBJECT, {"source": asset("h")}, {"source": asset("i")}, {"source": UPDATE}),
    ("from a file to text", OBJECT, {"source": asset("h")}, {"content": "x"}, {"source": DELETE, "content": ADD}),
    ("a source hash", OBJECT, {"sourceHash": "a"}, {"sourceHash": "b"}, {"sourceHash": UPDATE}),
    ("a key", OBJECT, {"key": "a"}, {"key": "b"}, {"key": UPDATE_REPLACE}),
    ("JSON spelled otherwise", SUBSCRIPTION, {"filterPolicy": '{"a":["b"]}'}, {"filterPolicy": '{ "a": ["b"] }'}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("type", "old", "new", "changes"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_rows(type: str, old: Properties, new: Properties, changes: dict[str, DiffKind]) -> None:
    assert diff(RULES[type], old, old, new, "eu-west-1").changes == changes


def test_what_the_outputs_do_not_say_is_compared_with_the_old_inputs() -> None:
    old = {"forceDestroy": False}
    assert diff(RULES[BUCKET], old, {}, {"forceDestroy": True}, "r").changes == {"forceDestroy": UPDATE}


def test_drift_is_seen_in_the_outputs() -> None:
    inputs = {"retentionInDays": 14}
    rule = RULES["aws:cloudwatch/logGroup:LogGroup"]
    assert diff(rule, inputs, {"retentionInDays": 3}, inputs, "r").changes == {"retentionInDays": UPDATE}


def test_another_region_of_the_provider_replaces() -> None:
    changes = diff(RULES[BUCKET], {}, {"bucket": "b", "region": "eu-west-1"}, {"bucket": "b"}, "eu-north-1").changes
    assert changes == {"region": UPDATE_REPLACE}


NAMES = [
    ("a fixed name stays", MODEL, {"name": "m", "executionRoleArn": "b"}, True),
    ("an automatic name changes with the replacement", MODEL,
     {"name": "m", "executionRoleArn": "b", DEFAULTS: ["name"]}, False),
    ("the name itself changes", MODEL, {"name": "n", "executionRoleArn": "b"}, False),
    ("in place", MODEL, {"name": "m", "executionRoleArn": "a", "tags": {"a": "b"}}, False),
]  # fmt: skip


@pytest.mark.parametrize(("type", "news", "first"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_a_fixed_name_is_deleted_before_it_is_made_again(type: str, news: Properties, first: bool) -> None:
    old = {"name": "m", "executionRoleArn": "a"}
    assert diff(RULES[type], old, old, news, "r").delete_before_replace is first


def test_an_attachment_is_deleted_first_since_the_new_one_may_be_the_old_one() -> None:
    old = {"role": "a", "policyArn": "p"}
    assert diff(RULES[ATTACHMENT], old, old, {"role": "b", "policyArn": "p"}, "r").delete_before_replace


POLICIES = [
    ('{"Statement": [{"Action": ["a", "b"]}]}', '{"Statement": [{"Action": ["b", "a", "a"]}]}', True),
    ('{"Statement": [{"Action": "a"}]}', '{"Statement": [{"Action": ["a"]}]}', True),
    ('{"Statement": {"Action": "a"}}', '{"Statement": [{"Action": "a", "Sid": ""}]}', True),
    ('{"Statement": [{"Principal": "*"}]}', '{"Statement": [{"Principal": {"AWS": "*"}}]}', True),
    ('{"Statement": [{"Principal": {"AWS": "123456789012"}}]}',
     '{"Statement": [{"Principal": {"AWS": ["arn:aws:iam::123456789012:root"]}}]}', True),
    ('{"Statement": [{"Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}',
     '{"Statement": [{"Condition": {"Bool": {"aws:SecureTransport": [false]}}}]}', True),
    ('{"Statement": [{"Action": "a"}]}', '{"Statement": [{"NotAction": "a"}]}', False),
    ('{"Statement": [{"Effect": "Allow"}]}', '{"Statement": [{"Effect": "Deny"}]}', False),
    ('{"Statement": [{"Resource": "a"}]}', '{"Statement": [{"Resource": "A"}]}', False),
    ('{"Statement": [{"Sid": "x"}]}', '{"Statement": [{"Sid": "y"}]}', False),
    ('{"Version": "2012-10-17", "Statement": []}', '{"Version": "2008-10-17", "Statement": []}', False),
    ("not json", "not json", True),
    ("", '{"Statement": []}', False),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "same"), POLICIES)
def test_policies_mean_the_same_or_not(one: str, other: str, same: bool) -> None:
    assert same_policy(one, other) is same
    assert same_policy(other, one) is same


scalars = st.text(max_size=5) | st.booleans() | st.integers(-5, 5)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@given(documents)
def test_any_document_is_the_same_as_itself_spelled_otherwise(document: Any) -> None:
    assert same_json(json.dumps(document), json.dumps(document, indent=3))
    assert same_policy(json.dumps({"Statement": document}), json.dumps({"Statement": document}, indent=1))


def values(each: Field) -> st.SearchStrategy[Any]:
    """Values of one property, as `check` lets them through."""
    words = st.text("abc", min_size=1, max_size=3)
    match each.kind:
        case Kind.STRING | Kind.DECIMAL:
            return st.sampled_from(each.choices) if each.choices else words
        case Kind.INTEGER | Kind.NUMBER:
            return st.integers(1, 9)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.STRINGS:
            return st.lists(words, min_size=1, max_size=3)
        case Kind.MAP:
            return st.dictionaries(words, words, min_size=1, max_size=3)
        case Kind.BLOCK:
            return blocks(each)
        case Kind.BLOCKS:
            return st.lists(blocks(each), min_size=1, max_size=2)
        case Kind.ASSET:
            return st.builds(asset, words)
        case Kind.POLICY | Kind.JSON:
            return st.builds(policy, words)


def blocks(each: Field | Rule) -> st.SearchStrategy[Properties]:
    required = {name: values(inner) for name, inner in each.fields.items() if inner.required}
    optional = {name: values(inner) for name, inner in each.fields.items() if not inner.required}
    return st.fixed_dictionaries(required, optional=optional)


@given(type=st.sampled_from(sorted(RULES)), data=st.data())
def test_inputs_never_differ_from_themselves(type: str, data: st.DataObject) -> None:
    news = data.draw(blocks(RULES[type]))
    assert diff(RULES[type], news, news, news, news.get("region", "r")).changes == {}


@given(type=st.sampled_from(sorted(RULES)), data=st.data())
def test_a_change_is_seen_and_replaces_only_where_the_table_says(type: str, data: st.DataObject) -> None:
    rule = RULES[type]
    old, new = data.draw(blocks(rule)), data.draw(blocks(rule))
    changes = diff(rule, old, old, new, "r").changes
    assert all(rule.fields[path.split(".")[0].split("[")[0]].replaces == ("replace" in kind.value)
               for path, kind in changes.items())  # fmt: skip
    for name in ("tags", "name"):
        if name in old and name in new and old[name] != new[name]:
            assert any(path.startswith(name) for path in changes)
