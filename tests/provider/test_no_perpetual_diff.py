"""For any valid inputs: what was created, read back and compared with the same inputs differs in nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudmodel.core.resource import Live, Properties
from cloudmodel.provider.provider import AwsProvider

Strategy = st.SearchStrategy[Any]
# moto's account lives as long as the test; each example is a resource of its own in it.
EXAMPLES = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

words = st.text("abcxyz019", min_size=1, max_size=8)
tags = st.dictionaries(words, words, max_size=3)
SEEDS = itertools.count(1)


def some(required: dict[str, Strategy], **optional: Strategy) -> Strategy:
    return st.fixed_dictionaries(required, optional=optional)


def policy(statement: Properties) -> Strategy:
    actions = st.lists(st.sampled_from(["s3:GetObject", "s3:ListBucket", "s3:PutObject"]), min_size=1, unique=True)
    resources = st.sampled_from(["arn:aws:s3:::a/*", ["arn:aws:s3:::a", "arn:aws:s3:::a/*"]])
    return st.builds(
        lambda a, r: json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Action": a, "Resource": r}]}),
        actions | actions.map(lambda each: each[0]),
        resources,
    )


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": ["sts:AssumeRole"]}
        ],
    }
)
lifecycle_filters = st.one_of(
    st.builds(lambda word: {"prefix": word}, st.just("") | words),
    st.builds(lambda key, value: {"tag": {"key": key, "value": value}}, words, words),
    st.builds(lambda pairs, word: {"and": {"prefix": word, "tags": pairs}}, tags.filter(bool), words),
)
lifecycle_rules = some(
    {
        "status": st.sampled_from(["Enabled", "Disabled"]),
        "expiration": st.builds(lambda d: {"days": d}, st.integers(40, 99)),
    },
    filter=lifecycle_filters,
    transitions=st.builds(lambda d: [{"days": d, "storageClass": "GLACIER"}], st.integers(1, 30)),
    noncurrentVersionExpiration=st.builds(lambda d: {"noncurrentDays": d}, st.integers(1, 90)),
    abortIncompleteMultipartUpload=st.builds(lambda d: {"daysAfterInitiation": d}, st.integers(1, 9)),
)
variants = some(
    {"modelName": st.just("m"), "instanceType": st.just("ml.m5.large"), "initialInstanceCount": st.integers(1, 3)},
    variantName=words,
    initialVariantWeight=st.sampled_from([0.25, 0.5, 1, 2]),
    containerStartupHealthCheckTimeoutInSeconds=st.integers(60, 3600),
    modelDataDownloadTimeoutInSeconds=st.integers(60, 3600),
    volumeSizeInGb=st.integers(1, 512),
    routingConfigs=st.sampled_from(
        [[{"routingStrategy": "RANDOM"}], [{"routingStrategy": "LEAST_OUTSTANDING_REQUESTS"}]]
    ),
)
VALID: dict[str, Strategy] = {
    "aws:s3/bucket:Bucket": some({}, tags=tags, forceDestroy=st.booleans()),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": some(
        {"bucket": st.just("the-bucket")},
        blockPublicAcls=st.booleans(),
        blockPublicPolicy=st.booleans(),
        ignorePublicAcls=st.booleans(),
        restrictPublicBuckets=st.booleans(),
    ),
    "aws:s3/bucketPolicy:BucketPolicy": some(
        {"bucket": st.just("the-bucket"), "policy": policy({"Effect": "Allow", "Principal": {"AWS": "123456789012"}})}
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": some(
        {
            "bucket": st.just("the-bucket"),
            "rules": st.lists(lifecycle_rules, min_size=1, max_size=3).map(
                lambda rules: [{"id": f"rule-{index}", **rule} for index, rule in enumerate(rules)]
            ),
        }
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": some(
        {"bucket": st.just("the-bucket"), "key": words},
        content=st.text(max_size=20),
        contentType=st.sampled_from(["text/plain", "application/json"]),
        cacheControl=words,
        metadata=st.dictionaries(words, words, max_size=2),
        serverSideEncryption=st.sampled_from(["AES256", "aws:kms"]),
        tags=tags,
    ),
    "aws:kms/key:Key": some(
        {},
        description=words,
        enableKeyRotation=st.booleans(),
        isEnabled=st.booleans(),
        deletionWindowInDays=st.integers(7, 30),
        tags=tags,
    ),
    "aws:iam/role:Role": some(
        {"assumeRolePolicy": st.just(TRUST)},
        description=words,
        maxSessionDuration=st.integers(3600, 43200),
        path=st.sampled_from(["/", "/a/", "/a/b/"]),
        forceDetachPolicies=st.booleans(),
        tags=tags,
    ),
    "aws:iam/rolePolicy:RolePolicy": some({"role": st.just("r"), "policy": policy({"Effect": "Allow"})}),
    "aws:sagemaker/model:Model": some(
        {
            "executionRoleArn": st.just("arn:aws:iam::123456789012:role/r"),
            "primaryContainer": some(
                {"image": words, "modelDataUrl": st.just("s3://b/k.tar.gz")},
                environment=st.dictionaries(words, words, min_size=1, max_size=3),
                containerHostname=words,
            ),
        },
        vpcConfig=st.permutations(["subnet-a", "subnet-b"]).map(
            lambda each: {"subnets": list(each), "securityGroupIds": ["sg-1"]}
        ),
        tags=tags,
    ),
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": some(
        {"productionVariants": st.lists(variants, min_size=1, max_size=2, unique_by=lambda v: v.get("variantName"))},
        kmsKeyArn=st.just("arn:aws:kms:eu-west-1:123456789012:key/k"),
        tags=tags,
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": some(
        {
            "comparisonOperator": st.sampled_from(["GreaterThanThreshold", "LessThanThreshold"]),
            "evaluationPeriods": st.integers(1, 9),
            "metricName": words,
            "namespace": words,
            "period": st.sampled_from([60, 300]),
            "statistic": st.sampled_from(["Average", "Sum"]),
            "threshold": st.integers(0, 10**6) | st.sampled_from([0.5, 99.9]),
        },
        dimensions=st.dictionaries(words, words, min_size=1, max_size=2),
        alarmActions=st.lists(st.sampled_from([f"arn:aws:sns:eu-west-1:123456789012:{n}" for n in "abc"]), unique=True),
        alarmDescription=words,
        datapointsToAlarm=st.just(1),
        treatMissingData=st.sampled_from(["missing", "ignore", "breaching", "notBreaching"]),
        actionsEnabled=st.booleans(),
        tags=tags,
    ),
    "aws:cloudwatch/logGroup:LogGroup": some(
        {}, retentionInDays=st.sampled_from([0, 1, 14, 365]), skipDestroy=st.booleans(), tags=tags
    ),
    "aws:sns/topic:Topic": some({}, displayName=words, kmsMasterKeyId=words, tags=tags),
}


@pytest.fixture
def provider(moto: None, clock: Any) -> Iterator[AwsProvider]:
    """A provider on an account with the bucket, role and model that the inputs name."""
    provider = AwsProvider(waiter=clock.waiter)
    provider.configure({"region": "eu-west-1"})
    base: dict[str, Properties] = {
        "aws:s3/bucket:Bucket": {"bucket": "the-bucket"},
        "aws:iam/role:Role": {"name": "r", "assumeRolePolicy": TRUST},
        "aws:sagemaker/model:Model": {
            "name": "m",
            "executionRoleArn": "arn:aws:iam::123456789012:role/r",
            "primaryContainer": {"image": "i"},
        },
    }
    for type, inputs in base.items():
        provider.create("urn::base", type, provider.check("urn::base", type, None, inputs, b"1").inputs, None, False)
    yield provider


def created(provider: AwsProvider, type: str, news: Properties) -> tuple[Properties, Live]:
    checked = provider.check("urn::it", type, None, news, next(SEEDS).to_bytes(8, "big"))
    assert checked.failures == ()
    return checked.inputs, provider.create("urn::it", type, checked.inputs, None, False)


@pytest.mark.parametrize("type", sorted(VALID))
def test_created_read_and_compared_nothing_differs(provider: AwsProvider, type: str) -> None:
    @EXAMPLES
    @given(VALID[type])
    def holds(news: Properties) -> None:
        inputs, live = created(provider, type, news)
        assert provider.diff("urn::it", type, live.id, live.inputs, live.outputs, inputs).changes == {}
        found = provider.read("urn::it", type, live.id, live.inputs, live.outputs)
        assert found == live
        recovered = provider.read("urn::it", type, live.id, inputs, {})
        assert recovered is not None
        for each in (found, recovered):
            again = provider.check("urn::it", type, each.inputs, news, b"other").inputs
            assert provider.diff("urn::it", type, each.id, each.inputs, each.outputs, again).changes == {}

    holds()


@pytest.mark.parametrize("type", sorted(set(VALID) - {"aws:sagemaker/endpointConfiguration:EndpointConfiguration"}))
def test_updated_in_place_read_and_compared_nothing_differs(provider: AwsProvider, type: str) -> None:
    @EXAMPLES
    @given(VALID[type], VALID[type])
    def holds(first: Properties, second: Properties) -> None:
        _, live = created(provider, type, first)
        news = provider.check("urn::it", type, live.inputs, second, b"other").inputs
        difference = provider.diff("urn::it", type, live.id, live.inputs, live.outputs, news)
        if difference.replaces:
            return
        changed = provider.update("urn::it", type, live.id, live.inputs, live.outputs, news, None, False)
        found = provider.read("urn::it", type, live.id, changed.inputs, changed.outputs)
        assert found is not None
        assert provider.diff("urn::it", type, live.id, found.inputs, found.outputs, news).changes == {}
        assert found == changed

    holds()
