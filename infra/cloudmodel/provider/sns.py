"""Amazon Simple Notification Service: topics, their policies and subscriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cloudmodel.core.resource import Live, Properties, ResourceFailure
from cloudmodel.provider import tags
from cloudmodel.provider.checks import DEFAULTS
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.diffs import compare, empty
from cloudmodel.provider.documents import same_policy
from cloudmodel.provider.errors import HINTS
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.rules.form import Field, Kind, api_name
from cloudmodel.provider.rules.sns import SUBSCRIPTION_ATTRIBUTES, TOPIC_ATTRIBUTES

ABSENT = ("NotFound", "NotFoundException", "ResourceNotFoundException")


def written(value: Any) -> str:
    """An attribute's value; SNS's attributes are all strings."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def attributes(fields: Mapping[str, Field], inputs: Properties) -> dict[str, str]:
    """The attributes of a create call: what differs from what SNS does by itself."""
    return {
        api_name(name, each): written(inputs[name])
        for name, each in fields.items()
        if not empty(inputs.get(name)) and inputs[name] != each.default
    }


def properties(fields: Mapping[str, Field], answer: Mapping[str, str]) -> Properties:
    """The properties that attributes say."""
    found: Properties = {}
    for name, each in fields.items():
        text = answer.get(api_name(name, each))
        if text in (None, ""):
            continue
        match each.kind:
            case Kind.BOOLEAN:
                found[name] = text == "true"
            case Kind.INTEGER:
                found[name] = int(text or 0)
            case _:
                found[name] = text
    return found


def changed(fields: Mapping[str, Field], old: Properties, inputs: Properties) -> dict[str, str]:
    """The attributes to set; an empty text takes one away."""
    return {
        api_name(name, each): written(inputs[name]) if inputs.get(name) is not None else ""
        for name, each in fields.items()
        if any(compare(each, name, old.get(name), inputs.get(name)))
    }


class Topic(Managed):
    type = "aws:sns/topic:Topic"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        # CreateTopic answers the ARN of a topic that is there already: only a name made for this create is surely new.
        if "name" not in inputs.get(DEFAULTS, ()):
            self._refuse_taken(cloud, inputs)
        fifo = {"FifoTopic": "true"} if inputs["fifoTopic"] else {}
        arn = cloud.settle(
            "sns",
            "create_topic",
            Name=inputs["name"],
            Attributes={**attributes(TOPIC_ATTRIBUTES, inputs), **fifo},
            **tags.SNS.parameter(inputs.get("tags")),
        )["TopicArn"]
        return self._made(cloud, arn, inputs)

    def _refuse_taken(self, cloud: Cloud, inputs: Properties) -> None:
        arn = self.identity(cloud, inputs)
        if arn and cloud.find("sns", "get_topic_attributes", *ABSENT, TopicArn=arn):
            raise ResourceFailure(f"topic {arn} exists already", request="sns CreateTopic", hint=HINTS[1][1])

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("sns", "get_topic_attributes", *ABSENT, TopicArn=id)
        if answer is None:
            return None
        live = answer["Attributes"]
        found = {
            **properties(TOPIC_ATTRIBUTES, live),
            "fifoTopic": live.get("FifoTopic") == "true",
            "name": id.rpartition(":")[2],
            "tags": tags.SNS.of(cloud, id),
        }
        return self.seen(
            cloud,
            id,
            found,
            old,
            arn=id,
            owner=live.get("Owner"),
            beginningArchiveTime=live.get("BeginningArchiveTime"),
        )

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        for name, value in changed(TOPIC_ATTRIBUTES, old, inputs).items():
            cloud.settle("sns", "set_topic_attributes", TopicArn=id, AttributeName=name, AttributeValue=value)
        tags.SNS.change(cloud, id, old.get("tags") or {}, inputs.get("tags") or {})
        return self._made(cloud, id, inputs)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("sns", "delete_topic", *ABSENT, TopicArn=id)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return cloud.arn("sns", str(inputs["name"])) if cloud.account.id else None

    def _made(self, cloud: Cloud, arn: str, inputs: Properties) -> Live:
        owner = arn.split(":")[4]
        policy = inputs.get("policy") or json.dumps(default_policy(arn, owner))
        return self.made(cloud, arn, inputs, arn=arn, owner=owner, policy=policy)


class TopicSubscription(Managed):
    type = "aws:sns/topicSubscription:TopicSubscription"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        arn = cloud.settle(
            "sns",
            "subscribe",
            TopicArn=inputs["topic"],
            Protocol=inputs["protocol"],
            Endpoint=inputs["endpoint"],
            Attributes=attributes(SUBSCRIPTION_ATTRIBUTES, inputs),
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        return self._made(cloud, arn, inputs)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("sns", "get_subscription_attributes", *ABSENT, SubscriptionArn=id)
        if answer is None:
            return None
        live = answer["Attributes"]
        found = {
            **properties(SUBSCRIPTION_ATTRIBUTES, live),
            "topic": live["TopicArn"],
            "protocol": live["Protocol"],
            "endpoint": live["Endpoint"],
        }
        return self.seen(
            cloud,
            id,
            found,
            old,
            arn=id,
            ownerId=live.get("Owner"),
            pendingConfirmation=live.get("PendingConfirmation") == "true",
            confirmationWasAuthenticated=live.get("ConfirmationWasAuthenticated") == "true",
        )

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        for name, value in changed(SUBSCRIPTION_ATTRIBUTES, old, inputs).items():
            cloud.call(
                "sns", "set_subscription_attributes", SubscriptionArn=id, AttributeName=name, AttributeValue=value
            )
        return self._made(cloud, id, inputs)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        # AWS keeps an unconfirmed subscription until it expires by itself, and refuses to delete it.
        pending = "InvalidParameter: pending"
        cloud.find("sns", "unsubscribe", *ABSENT, pending, SubscriptionArn=id)

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        """A confirmed subscription; Subscribe answers the ARN of a pending one by itself."""
        for each in cloud.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=inputs["topic"]):
            same = each["Protocol"] == inputs["protocol"] and each["Endpoint"] == inputs["endpoint"]
            if same and each["SubscriptionArn"].startswith("arn:"):
                return str(each["SubscriptionArn"])
        return None

    def _made(self, cloud: Cloud, arn: str, inputs: Properties) -> Live:
        """As it is live: only SNS knows whether a subscription still waits for its confirmation."""
        made = self.made(cloud, arn, inputs, arn=arn, pendingConfirmation=True)
        with self.finishing(made):
            live = self.read(cloud, arn, inputs)
        return Live(arn, live.outputs, inputs) if live else made


class TopicPolicy(Managed):
    """The policy of a topic; deleting it puts back the one that SNS gives a new topic."""

    type = "aws:sns/topicPolicy:TopicPolicy"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        self._put(cloud, inputs["arn"], inputs["policy"])
        return self.made(cloud, inputs["arn"], inputs, owner=inputs["arn"].split(":")[4])

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("sns", "get_topic_attributes", *ABSENT, TopicArn=id)
        policy = (answer or {}).get("Attributes", {}).get("Policy")
        default = default_policy(id, id.split(":")[4])
        if not answer or not policy or (same_policy(policy, default) and not same_policy(old.get("policy"), default)):
            return None
        found = {"arn": id, "policy": policy}
        return self.seen(cloud, id, found, old, owner=answer["Attributes"].get("Owner"))

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        owner = id.split(":")[4]
        cloud.find(
            "sns",
            "set_topic_attributes",
            *ABSENT,
            TopicArn=id,
            AttributeName="Policy",
            AttributeValue=json.dumps(default_policy(id, owner)),
        )

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["arn"])

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        live = self.read(cloud, inputs["arn"], inputs)
        same = live and not any(compare(self.rule.fields["policy"], "policy", live.outputs["policy"], inputs["policy"]))
        return live.id if live and same else None

    def _put(self, cloud: Cloud, arn: str, policy: str) -> None:
        cloud.settle("sns", "set_topic_attributes", TopicArn=arn, AttributeName="Policy", AttributeValue=policy)


def default_policy(arn: str, owner: str) -> Properties:
    """What SNS writes for a topic that asks for no policy: its own account may use it."""
    actions = (
        "GetTopicAttributes SetTopicAttributes AddPermission RemovePermission DeleteTopic Subscribe "
        "ListSubscriptionsByTopic Publish"
    )
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{each}" for each in actions.split()],
                "Resource": arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": owner}},
            }
        ],
    }


TYPES = (Topic(), TopicSubscription(), TopicPolicy())
