"""Topics, their policies and subscriptions on moto."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudmodel.core.resource import DiffKind, ResourceFailure

TOPIC = "aws:sns/topic:Topic"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
POLICY = "aws:sns/topicPolicy:TopicPolicy"
ARN = "arn:aws:sns:eu-west-1:123456789012:alarms"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"


@pytest.fixture
def topic(aws: Any) -> Any:
    return aws.create(TOPIC, {"name": "alarms"})


def test_a_topic_from_create_to_delete(aws: Any) -> None:
    live = aws.create(TOPIC, {"name": "alarms", "displayName": "Alarms", "kmsMasterKeyId": "k", "tags": {"a": "b"}})
    assert live.id == live.outputs["arn"] == ARN and live.outputs["owner"] == "123456789012"
    assert aws.read(TOPIC, live) == live
    assert aws.find(TOPIC, live.inputs) == ARN
    news = {"name": "alarms", "displayName": "Other", "tags": {"c": "d"}}
    assert aws.diff(TOPIC, live, news).changes == {
        "displayName": DiffKind.UPDATE,
        "kmsMasterKeyId": DiffKind.DELETE,
        "tags.a": DiffKind.DELETE,
        "tags.c": DiffKind.ADD,
    }
    changed = aws.update(TOPIC, live, news)
    assert aws.read(TOPIC, changed) == changed
    assert aws.diff(TOPIC, live, {**news, "fifoTopic": True, "name": "x.fifo"}).replaces == ("fifoTopic", "name")
    aws.delete(TOPIC, changed)
    assert aws.read(TOPIC, changed) is None
    assert aws.find(TOPIC, live.inputs) is None
    aws.delete(TOPIC, changed)


def test_a_topic_of_that_name_is_never_adopted_silently(aws: Any, topic: Any) -> None:
    with pytest.raises(ResourceFailure, match="exists already") as failure:
        aws.create(TOPIC, {"name": "alarms"})
    assert "import it" in (failure.value.hint or "")


def test_the_policy_that_sns_wrote_is_no_change(aws: Any, topic: Any) -> None:
    assert "__default_statement_ID" in topic.outputs["policy"]
    assert aws.diff(TOPIC, topic, {"name": "alarms"}).changes == {}


def test_a_topic_policy_from_put_to_delete(aws: Any, topic: Any) -> None:
    def allow(service: str) -> str:
        who = {"Service": f"{service}.amazonaws.com"}
        statement = {"Effect": "Allow", "Principal": who, "Action": "sns:Publish", "Resource": ARN}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    inputs = {"arn": ARN, "policy": allow("cloudwatch")}
    assert aws.find(POLICY, inputs) is None
    live = aws.create(POLICY, inputs)
    assert live.id == ARN and live.outputs["owner"] == "123456789012"
    assert aws.read(POLICY, live) == live
    assert aws.find(POLICY, live.inputs) == ARN
    news = {"arn": ARN, "policy": allow("events")}
    assert aws.diff(POLICY, live, news).changes == {"policy": DiffKind.UPDATE}
    changed = aws.update(POLICY, live, news)
    assert aws.read(POLICY, changed) == changed
    assert aws.diff(POLICY, live, {**news, "arn": "x"}).replaces == ("arn",)
    aws.delete(POLICY, changed)
    assert aws.read(POLICY, changed) is None
    assert "__default_statement_ID" in aws.read(TOPIC, topic).outputs["policy"]
    aws.delete(TOPIC, topic)
    assert aws.read(POLICY, changed) is None
    aws.delete(POLICY, changed)


def test_a_subscription_from_subscribe_to_unsubscribe(aws: Any, topic: Any) -> None:
    inputs = {"topic": ARN, "protocol": "sqs", "endpoint": QUEUE, "filterPolicy": '{"severity": ["high"]}'}
    assert aws.find(SUBSCRIPTION, inputs) is None
    live = aws.create(SUBSCRIPTION, inputs)
    assert live.id.startswith(ARN) and live.outputs["pendingConfirmation"] is False
    assert aws.read(SUBSCRIPTION, live) == live
    assert aws.find(SUBSCRIPTION, live.inputs) == live.id
    news = {"topic": ARN, "protocol": "sqs", "endpoint": QUEUE, "rawMessageDelivery": True}
    assert aws.diff(SUBSCRIPTION, live, news).changes == {
        "filterPolicy": DiffKind.DELETE,
        "rawMessageDelivery": DiffKind.UPDATE,
    }
    changed = aws.update(SUBSCRIPTION, live, news)
    assert aws.read(SUBSCRIPTION, changed) == changed
    assert aws.diff(SUBSCRIPTION, changed, news).changes == {}
    other = {"topic": "x", "protocol": "email", "endpoint": "a@b.c"}
    assert aws.diff(SUBSCRIPTION, live, other).replaces == ("endpoint", "protocol", "topic")
    aws.delete(SUBSCRIPTION, changed)
    assert aws.read(SUBSCRIPTION, changed) is None
    aws.delete(SUBSCRIPTION, changed)


def test_an_email_is_subscribed_once_however_often_it_is_asked_for(aws: Any, topic: Any) -> None:
    inputs = {"topic": ARN, "protocol": "email", "endpoint": "ops@example.com"}
    live = aws.create(SUBSCRIPTION, inputs)
    assert aws.read(SUBSCRIPTION, live) == live
    assert aws.create(SUBSCRIPTION, inputs).id == live.id
