"""Amazon Simple Notification Service."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import (
    REGIONAL,
    TAGGED,
    Field,
    Name,
    Rule,
    document,
    flag,
    integer,
    policy,
    text,
)

SENDERS = {"application": "Application", "firehose": "Firehose", "http": "HTTP", "lambda": "Lambda", "sqs": "SQS"}
FEEDBACK: Mapping[str, Field] = {
    f"{sender}{suffix}": make(aws=f"{api}{suffix}")
    for sender, api in SENDERS.items()
    for suffix, make in (
        ("FailureFeedbackRoleArn", text),
        ("SuccessFeedbackRoleArn", text),
        ("SuccessFeedbackSampleRate", integer),
    )
}
TOPIC_ATTRIBUTES: Mapping[str, Field] = {
    "archivePolicy": document(),
    "contentBasedDeduplication": flag(default=False),
    "deliveryPolicy": document(),
    "displayName": text(),
    "fifoThroughputScope": text(computed=True),
    "kmsMasterKeyId": text(),
    "maximumMessageSize": integer(computed=True),
    "policy": policy(computed=True),
    "signatureVersion": integer(computed=True),
    "tracingConfig": text(computed=True, choices=("Active", "PassThrough")),
    **FEEDBACK,
}
SUBSCRIPTION_ATTRIBUTES: Mapping[str, Field] = {
    "deliveryPolicy": document(),
    "filterPolicy": document(),
    "filterPolicyScope": text(computed=True, choices=("MessageAttributes", "MessageBody")),
    "rawMessageDelivery": flag(default=False),
    "redrivePolicy": document(),
    "replayPolicy": document(),
    "subscriptionRoleArn": text(),
}

RULES: Mapping[str, Rule] = {
    "aws:sns/topic:Topic": Rule(
        {
            **TAGGED,
            **TOPIC_ATTRIBUTES,
            "fifoTopic": flag(default=False, replaces=True),
            "name": text(replaces=True),
            "namePrefix": text(replaces=True, local=True),
        },
        outputs=("arn", "beginningArchiveTime", "owner", "tagsAll"),
        name=Name(
            "name",
            256,
            r"[A-Za-z0-9_-]+(\.fifo)?",
            "letters, digits, '_' and '-', with '.fifo' for a FIFO topic",
            prefix="namePrefix",
        ),
    ),
    "aws:sns/topicSubscription:TopicSubscription": Rule(
        {
            **REGIONAL,
            **SUBSCRIPTION_ATTRIBUTES,
            "confirmationTimeoutInMinutes": integer(default=1, local=True),
            "endpoint": text(required=True, replaces=True),
            "endpointAutoConfirms": flag(default=False, local=True),
            "protocol": text(
                required=True,
                replaces=True,
                choices=("application", "email", "email-json", "firehose", "http", "https", "lambda", "sms", "sqs"),
            ),
            "topic": text(required=True, replaces=True),
        },
        outputs=("arn", "confirmationWasAuthenticated", "ownerId", "pendingConfirmation"),
    ),
    "aws:sns/topicPolicy:TopicPolicy": Rule(
        {**REGIONAL, "arn": text(required=True, replaces=True), "policy": policy(required=True)}, outputs=("owner",)
    ),
}
